# SPDX-License-Identifier: Apache-2.0
"""The device on a board under Linux: registers and interrupt through UIO, memory through u-dma-buf,
the bitstream through the FPGA manager. It needs NumPy and the standard library only.

Every file of the kernel is looked for below a root, by default `/`; tests have another.
"""
