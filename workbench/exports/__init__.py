# SPDX-License-Identifier: Apache-2.0
"""What the tools of other engineers expect beside the Verilog of a core."""
