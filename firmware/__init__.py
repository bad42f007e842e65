# SPDX-License-Identifier: Apache-2.0
"""The host driver: what runs on the host processor, beside the accelerator, and talks to it through
registers and a DMA window. It needs NumPy, and `tokenizers` for text.
"""
