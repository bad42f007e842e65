# SPDX-License-Identifier: Apache-2.0
"""The names by which Linux on a board shows a device: what the device-tree overlay gives, the
driver looks for.
"""

from __future__ import annotations

from meadow.spec.registers import LAST_OFFSET

__all__ = ["BUFFER_NAME", "CLOCK_PROPERTY", "HASH_PROPERTY", "REGISTER_BYTES", "UIO_NAME"]

UIO_NAME = "meadow"
"""`name` of the UIO device: that of its node in the device tree, without the address."""

BUFFER_NAME = "udmabuf-meadow"
"""`device-name` of the u-dma-buf node: /dev/udmabuf-meadow."""

HASH_PROPERTY = "meadow,contract-hash"
"""Property of the UIO device's node: the contract hash of the bitstream, 64 hexadecimal digits, in
`device/of_node/` below the UIO device. It can be read before any register is.
"""

CLOCK_PROPERTY = "meadow,clock-hz"
"""Property of the same node: the frequency that the bitstream is made for, one cell."""

REGISTER_BYTES = LAST_OFFSET + 4
"""The page of the registers, map 0 of the UIO device; the device answers all of it."""
