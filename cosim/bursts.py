# SPDX-License-Identifier: Apache-2.0
"""Bursts as the bus saw them, for the question whether all of them lie where they may."""

from __future__ import annotations

import numpy as np

from meadow.spec.config import BEAT_BYTES

__all__ = ["BURST", "outside"]

BURST = np.dtype(
    [("cycle", "u8"), ("address", "u8"), ("beats", "u4"), ("port", "u2"), ("write", "u2")]
)
"""A burst: cycle in which its address was first valid, byte address, beats, AXI port, 1 for a write
and 0 for a read.
"""


def outside(bursts: np.ndarray, base: int, size: int) -> np.ndarray:
    """Those of `bursts` (BURST, 1-D) that touch a byte outside base .. base + size - 1."""
    first = bursts["address"].astype(object)
    end = first + bursts["beats"].astype(object) * BEAT_BYTES
    return bursts[np.array((first < base) | (end > base + size), bool)]
