# SPDX-License-Identifier: Apache-2.0
"""The register map as SystemRDL 2.0, of which the C header, HTML and IP-XACT are made.

What stands in words of two registers or in a table is a `regfile`: `cycles.low`, `cycles.high`,
`sequence[2].tokens`. The two words of 64 bits stay two registers, as the bus of 32 bits reads one
after the other and a counter may move in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from meadow.spec.registers import Register, RegisterCode
from workbench.exports.core import Core

__all__ = ["register_map_rdl"]

_ACCESS = {
    "ro": "sw = r; hw = w;",
    "rw": "sw = rw; hw = r;",
    "pulse": "sw = w; hw = r; singlepulse;",
    "w1c": "sw = rw; hw = w; onwrite = woclr;",
}
"""Software and hardware access of a bit that can change."""
_CONSTANT = "sw = r; hw = na;"


def _text(words: str) -> str:
    """A string literal."""
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _indented(lines: Iterator[str] | list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _field(name: str, mask: int, access: str, reset: int, properties: str = "") -> str:
    low, high = (mask & -mask).bit_length() - 1, mask.bit_length() - 1
    value = (reset & mask) >> low
    return f"field {{ {access}{properties} }} {name}[{high}:{low}] = 0x{value:X};"


def _fields(register: Register, reset: int) -> Iterator[str]:
    """The named bits, or all bits that there are as `value`."""
    for bit in register.fields:
        access = _CONSTANT if register.constant else _ACCESS[bit.access]
        yield _field(bit.name, bit.mask, access, reset, f" desc = {_text(bit.doc)};")
    if register.fields:
        return
    if not register.mask:  # a register of addresses beyond those that the configuration has
        yield _field("value", 0xFFFFFFFF, _CONSTANT, 0)
        return
    access = _CONSTANT if register.constant else _ACCESS[register.access]
    encoded = f" encode = {register.name}_values;" if register.codes else ""
    yield _field("value", register.mask, access, reset, encoded)


def _register(register: Register, name: str, offset: int, reset: int) -> list[str]:
    return [
        "reg {",
        *_indented([f"desc = {_text(register.doc)};", *_fields(register, reset)]),
        f"}} {name} @0x{offset:03X};",
    ]


def _entry(registers: list[Register], resets: dict[str, int]) -> list[str]:
    """What stands inside of one regfile."""
    return [
        line
        for register in registers
        for line in _register(
            register,
            register.path.rpartition(".")[2],
            register.offset - registers[0].offset,
            resets[register.name],
        )
    ]


def _group(head: str, registers: list[Register], resets: dict[str, int]) -> list[str]:
    """One register, the parts of one, or a table whose entries are all the same."""
    first = registers[0]
    if first.path == head:
        return _register(first, head, first.offset, resets[first.name])
    entries = [list(e) for _, e in groupby(registers, lambda r: r.path.partition(".")[0])]
    bodies = [_entry(entry, resets) for entry in entries]
    steps = {b[0].offset - a[0].offset for a, b in zip(entries, entries[1:], strict=False)}
    if any(body != bodies[0] for body in bodies) or len(steps) > 1:
        raise ValueError(f"the entries of {head} differ, which a table of SystemRDL cannot")
    place = f"@0x{first.offset:03X}"
    if "[" in first.path:
        place = f"[{len(entries)}] {place} += 0x{steps.pop() if steps else 4 * len(entries[0]):X}"
    return [
        "regfile {",
        *_indented(bodies[0]),
        f"}} {head}{place if '[' in place else ' ' + place};",
    ]


def _codes(name: str, codes: tuple[RegisterCode, ...]) -> list[str]:
    members = [f"{code.name} = {code.value} {{ desc = {_text(code.doc)}; }};" for code in codes]
    return [f"enum {name}_values {{", *_indented(members), "};"]


def register_map_rdl(core: Core) -> str:
    """The register map of a core: access, reset values, meanings, values of error registers."""
    what = f"Registers of MEADOW, configuration {core.configuration}, contract {core.contract}"
    lines = [
        "littleendian;",
        "default regwidth = 32;",
        "default accesswidth = 32;",
        f"name = {_text(core.top)};",
        f"desc = {_text(what)};",
    ]
    for register in core.registers:
        if register.codes:
            lines += _codes(register.name, register.codes)
    for head, group in groupby(
        core.registers, lambda r: r.path.partition(".")[0].partition("[")[0]
    ):
        lines += _group(head, list(group), core.resets)
    body = [f"addrmap {core.top} {{", *_indented(lines), "};"]
    return core.heading("Registers", "//") + "\n".join(body) + "\n"
