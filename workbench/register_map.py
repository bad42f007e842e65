# SPDX-License-Identifier: Apache-2.0
"""docs/register-map.md, written from the contract."""

from __future__ import annotations

import enum
from pathlib import Path

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import Control, ErrorCode, Status, register_map

__all__ = ["register_map_markdown"]

_CONFIG = "zcu102"


def _members(kind: type[enum.IntEnum] | type[enum.IntFlag]) -> list[str]:
    lines = [f"\n## `{kind.__name__}`\n", "| value | name |", "|---|---|"]
    lines += [f"| {int(member)} | `{member.name}` |" for member in kind]
    return lines


def _bits(mask: int) -> str:
    """The highest and the lowest bit of a mask without gaps."""
    low, high = (mask & -mask).bit_length() - 1, mask.bit_length() - 1
    return f"{high}..{low}" if high > low else f"{low}"


def register_map_markdown() -> str:
    """The register map of configuration `zcu102` as Markdown; other sizes differ in sequence entries only."""
    lines = [
        "# Register map",
        "",
        "Generated from `meadow/spec/registers.py` by `make docs`; do not edit.",
        "",
        f"32-bit registers of the AXI4-Lite slave, configuration `{_CONFIG}`. Unmapped offsets, writes to read-only",
        "registers, partial writes, values with bits that a register does not have, and writes to anything but `control` while",
        "busy are answered SLVERR and change nothing.",
        "",
        "| offset | name | access | bits | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| 0x{entry.offset:03X} | `{entry.name}` | {entry.access} | {_bits(entry.mask)} | {entry.doc} |"
        for entry in register_map(CONFIGURATIONS[_CONFIG])
    ]
    for kind in (Control, Status, ErrorCode):
        lines += _members(kind)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path("docs/register-map.md").write_text(register_map_markdown(), encoding="utf-8")
