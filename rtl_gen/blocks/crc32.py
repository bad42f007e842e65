# SPDX-License-Identifier: Apache-2.0
"""CRC-32 as a linear map of a beat: what everything that checks one is made of."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Value

from meadow.spec.config import BEAT_BYTES

__all__ = ["CRC_ONES", "CRC_RESIDUE", "crc_network"]

_POLYNOMIAL = 0xEDB88320
CRC_ONES = 0xFFFFFFFF
"""Register before the first beat."""


def _advance(state: int, data: int) -> int:
    """Reflected CRC-32 register after the 128 bits of `data`, without initial and final
    inversion.
    """
    state ^= data
    for _ in range(8 * BEAT_BYTES):
        state = (state >> 1) ^ (_POLYNOMIAL if state & 1 else 0)
    return state


_COLUMNS = tuple(_advance(0, 1 << bit) for bit in range(8 * BEAT_BYTES))
"""What each data bit adds; register bit i acts like data bit i, because the register is xored into
the first bits.
"""

CRC_RESIDUE = 0xDEBB20E3
"""Register after data that ends with its own CRC-32 (zlib, little-endian)."""


def crc_network(bits: Value) -> Value:
    """Register after a beat: the linear map of the low bits of (data xor register), so that
    crc_network(data) ^ crc_network(register) is register' of `data` after `register`."""
    rows = []
    for row in range(32):
        taken = sum((_COLUMNS[index] >> row & 1) << index for index in range(len(bits)))
        rows.append((bits & Const(taken, len(bits))).xor())
    return Cat(rows)
