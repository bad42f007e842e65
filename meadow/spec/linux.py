# SPDX-License-Identifier: Apache-2.0
"""The names by which Linux on a board shows a device: what the device-tree overlay gives, the
driver looks for.
"""

from __future__ import annotations

__all__ = ["BUFFER_NAME", "UIO_NAME"]

UIO_NAME = "meadow"
"""`name` of the UIO device, which is that of its node in the device tree, without an address."""

BUFFER_NAME = "udmabuf-meadow"
"""`device-name` of the u-dma-buf node: /dev/udmabuf-meadow."""
