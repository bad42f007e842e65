# SPDX-License-Identifier: Apache-2.0
"""Bit fields packed least significant first: the shared notation of commands, preambles and
registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BitField", "pack_fields", "unpack_fields"]


@dataclass(frozen=True)
class BitField:
    """`bits` wide field `name`; `signed` is two's complement; `doc` gives meaning and unit."""

    name: str
    bits: int
    doc: str
    signed: bool = False


def pack_fields(fields: tuple[BitField, ...], values: Mapping[str, int], what: str) -> int:
    """Pack `values` (missing ones are 0), first field in the least significant bits.

    ValueError names an unknown field or a value that does not fit; `what` says whose fields they
    are.
    """
    unknown = sorted(set(values) - {field.name for field in fields})
    if unknown:
        raise ValueError(f"{what} has no field {', '.join(unknown)}")
    word, offset = 0, 0
    for field in fields:
        value = int(values.get(field.name, 0))
        low = -(1 << (field.bits - 1)) if field.signed else 0
        high = (1 << (field.bits - field.signed)) - 1
        if not low <= value <= high:
            raise ValueError(f"{what} field {field.name} must be in {low}..{high}, not {value}")
        word |= (value & ((1 << field.bits) - 1)) << offset
        offset += field.bits
    return word


def unpack_fields(fields: tuple[BitField, ...], word: int) -> dict[str, int]:
    """Inverse of `pack_fields`."""
    values, offset = {}, 0
    for field in fields:
        value = (word >> offset) & ((1 << field.bits) - 1)
        if field.signed and value >> (field.bits - 1):
            value -= 1 << field.bits
        values[field.name] = value
        offset += field.bits
    return values
