# SPDX-License-Identifier: Apache-2.0
"""Names by which a driver on a board finds the accelerator: the overlay of the device tree has
them, and Linux shows them in files.
"""

from __future__ import annotations

from meadow.spec.registers import LAST_OFFSET

__all__ = [
    "BUFFER_NAME",
    "CLOCK_PROPERTY",
    "HASH_PROPERTY",
    "NODE_NAME",
    "REGISTER_BYTES",
]

NODE_NAME = "meadow"
"""Name of the node of the registers and the interrupt, and so of the UIO device:
`/sys/class/uio/uio*/name`."""
BUFFER_NAME = "udmabuf-meadow"
"""Name of the DMA buffer: `/dev/` and `/sys/class/u-dma-buf/`."""
HASH_PROPERTY = "meadow,contract-hash"
"""Property of the node: the contract hash of the bitstream, 64 hexadecimal digits;
`device/of_node/` below the UIO device. It can be read before any register is."""
CLOCK_PROPERTY = "meadow,clock-hz"
"""Property of the node: the frequency that the bitstream is made for, one cell."""
REGISTER_BYTES = LAST_OFFSET + 4
"""The page of the registers, all of which the device answers."""
