# SPDX-License-Identifier: Apache-2.0
"""docs/register-map.md, written from the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.parameters import register_values
from meadow.spec.registers import (
    COUNTERS,
    ERROR_CAUSES,
    SEQUENCE_FIELDS,
    SEQUENCE_TABLE,
    WATCHDOG_CYCLES,
    Register,
    register_map,
)

__all__ = ["register_map_markdown"]

_INTRODUCTION = """\
# Register map

Generated from `meadow/spec/registers.py` by `make docs`; do not edit.

32-bit registers of the AXI4-Lite slave `s_axi`, byte offsets, the same for every configuration but for the number of sequence
entries and for the values in the last table. `meadow generate` writes the map of its configuration into `manifest.json`, bit by bit.

Every access is answered OKAY; the slave has neither SLVERR nor DECERR, which an operating system may take for a fault of the machine.
An access that the device refuses changes nothing (a read gives 0) but `refused` and `refused_offset`:
[refused accesses](#refused-accesses). After the pin `rst` everything that can be written is 0, but `watchdog`, which is {watchdog}. Nothing is
taken in reset, nor in the cycle after it. Access of a bit: *ro*; *rw*; *pulse*, where writing 1 acts once and
0 is read; *w1c*, which the device sets and writing 1 clears.
"""

_COUNTER_RULES = """
## Counters

64 bits each, low word first. START clears all of them. They count while the program runs and until nothing of it is left on the bus, wrap
at 2^64, and then keep their values until the next START: RESET and ACKNOWLEDGE leave them alone. Busy and stall counters count clock
cycles, the others bytes; a byte counts when its beat moves, in whole beats of 16. While a counter counts, read high, low and high again until both high
words agree.
"""

_END_OF_A_PROGRAM = """
## The end of a program, for the driver

1. The interrupt comes (or, without INTERRUPT_ENABLE, DONE or ERROR reads 1 and BUSY 0).
2. Read `status`; with ERROR, read the error registers now.
3. Write ACKNOWLEDGE (with INTERRUPT_ENABLE to keep it): DONE, ERROR, the interrupt and all error registers go to 0, so that
   nothing of an old error is left for the next program. Counters may still be read.

`firmware.registers.Registers.run_program` does the three steps, so that after it the error registers read 0: the exception that it raises,
`firmware.device.DeviceError`, carries what they held as `code`, `command`, `address`, `port` and `stuck`.
"""


_REFUSALS = """
## Refused accesses

What is refused, and with which bit, is the table of the bits of `refused` above; where an access breaks several rules, the first one of the
table is told. Offsets are bytes: one that is not a multiple of 4 is no register's. The slave decodes 4 KiB, and an interconnect must give it
no more.

1. The first refused access sets one bit of `refused`, and `refused_offset`. Both can be read from the moment on at which the access was
   answered. Of a read and a write that are refused in the same cycle the write is told.
2. While a bit of `refused` is set, further refused accesses leave no trace.
3. Writing 1 to that bit clears it, also while busy; then the next refused access is told. Neither START, RESET nor ACKNOWLEDGE clears it.

The driver reads `refused` after every write. If a bit is set it clears it and raises `firmware.device.RegisterError`, whose message says
which value was refused for which register, and why.
"""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(map(str, line)) + " |" for line in lines)]


def _bits(mask: int) -> str:
    """The highest and the lowest bit of a mask without gaps."""
    low, high = (mask & -mask).bit_length() - 1, mask.bit_length() - 1
    return f"{high}..{low}" if high > low else f"{low}"


def _hexadecimal(*offsets: int) -> str:
    return " ".join(f"0x{offset:03X}" for offset in offsets)


def _reset(register: Register) -> str:
    return "hash" if register.reset is None else f"0x{register.reset:X}" if register.reset else "0"


def _rows(registers: Iterable[Register]) -> list[tuple[str, str, str, str, str, str]]:
    return [
        (_hexadecimal(r.offset), f"`{r.name}`", r.access, _bits(r.mask), _reset(r), r.doc)
        for r in registers
    ]


def _fields(register: Register) -> list[str]:
    rows = [(_bits(bit.mask), f"`{bit.name}`", bit.access, bit.doc) for bit in register.fields]
    return [
        "",
        f"## Bits of `{register.name}` ({_hexadecimal(register.offset)}, {register.access})",
        *_table(("bit", "name", "access", "meaning of 1"), rows),
    ]


def _of_configurations(configurations: dict[str, AcceleratorConfig]) -> list[str]:
    facts = {name: register_values(config) for name, config in configurations.items()}
    maps = {name: register_map(config) for name, config in configurations.items()}
    first = next(iter(maps.values()))
    rows: list[Sequence[object]] = [
        (
            _hexadecimal(r.offset),
            f"`{r.name}`",
            *(facts[n][r.name.removeprefix("config_")] for n in facts),
        )
        for r in first
        if r.name.startswith("config_")
    ]
    rows += [
        ("", "largest `rows`", *(config.chunk_tokens for config in configurations.values())),
        ("", "largest `sequences`", *(config.sequences for config in configurations.values())),
        ("", "last offset", *(_hexadecimal(registers[-1].offset) for registers in maps.values())),
        ("", "registers", *(len(registers) for registers in maps.values())),
    ]
    return [
        "",
        "## What differs between configurations",
        *_table(("offset", "", *(f"`{name}`" for name in configurations)), rows),
    ]


def register_map_markdown() -> str:
    """The register map as Markdown, of every named configuration."""
    registers = {entry.name: entry for entry in register_map(CONFIGURATIONS["tiny"])}
    counters = {f"{name}_{half}" for name, _ in COUNTERS for half in ("low", "high")}
    plain = [
        entry
        for entry in registers.values()
        if entry.name not in counters
        and not entry.name.startswith("config_")
        and entry.offset < SEQUENCE_TABLE
    ]
    head = ("offset", "name", "access", "bits", "reset", "meaning")
    lines = [_INTRODUCTION.format(watchdog=WATCHDOG_CYCLES).rstrip()]
    lines += _table(head, _rows(plain))
    for entry in registers.values():
        lines += _fields(entry) if entry.fields else []
    lines += [
        "",
        "## Values of `error_code`",
        "",
        "The first error of a program; DONE does not come with one.",
        *_table(
            ("value", "name", "cause"),
            ((int(code), f"`{code.name}`", cause) for code, cause in ERROR_CAUSES.items()),
        ),
        _REFUSALS.rstrip(),
        _END_OF_A_PROGRAM.rstrip(),
        _COUNTER_RULES.rstrip(),
        *_table(
            ("offsets", "name", "counts"),
            (
                (
                    _hexadecimal(*(registers[f"{name}_{half}"].offset for half in ("low", "high"))),
                    f"`{name}_low` `{name}_high`",
                    doc,
                )
                for name, doc in COUNTERS
            ),
        ),
        "",
        "## Sequence table",
        "",
        "Entry i, from 0 on, at 16·i from the offsets below; a configuration has "
        "`config_sequences` entries, `sequences` of them are in use.",
        *_table(
            head,
            (
                (
                    f"{_hexadecimal(SEQUENCE_TABLE + 4 * place)} + 16·i",
                    f"`sequence{{i}}_{name}`",
                    "rw",
                    _bits((1 << bits) - 1),
                    0,
                    doc,
                )
                for place, (name, bits, doc) in enumerate(SEQUENCE_FIELDS)
            ),
        ),
        *_of_configurations(CONFIGURATIONS),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path("docs/register-map.md").write_text(register_map_markdown(), encoding="utf-8")
