# SPDX-License-Identifier: Apache-2.0
"""Layouts of what control hands to the units: commands and the step registers."""

from __future__ import annotations

from amaranth.hdl import Const, Value, signed, unsigned
from amaranth.lib import data

from meadow.spec.commands import COMMAND_BYTES, AttendPart, Opcode, command_fields
from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import SEQUENCE_FIELDS, STEP_FIELDS

__all__ = [
    "COMMAND_BITS",
    "INDEX_BITS",
    "NO_COMMAND",
    "attends_part",
    "command_index",
    "command_layout",
    "step_layout",
]

COMMAND_BITS = 8 * COMMAND_BYTES
INDEX_BITS = 24
"""Bits of a command's index in its program, as errors name it."""
NO_COMMAND = (1 << INDEX_BITS) - 1
"""Where a command's index stands: none; what happens belongs to the program as a whole."""


def attends_part(config: AcceleratorConfig, command: data.View, part: AttendPart) -> Value:
    """Whether an ATTEND is this part of attention; without the baseline there are only whole ones,
    so that what the parts need goes.
    """
    return (command.part == part.value) & Const(int(config.baseline))


def command_index(command: Value) -> Value:
    """Index of a command on its way to a unit: it stands in place of `wait`, `condition` and
    `flags`, which the sequencer has dealt with."""
    return command[8 : 8 + INDEX_BITS]


def command_layout(opcode: Opcode) -> data.StructLayout:
    """Fields of a command of this opcode; a view of the low bits of a COMMAND_BITS wide signal."""
    return data.StructLayout(
        {
            field.name: signed(field.bits) if field.signed else unsigned(field.bits)
            for field in command_fields(opcode)
        }
    )


def step_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Registers `rows sequences outputs head_all` and the sequence table; stable while the device
    is busy.
    """
    entry = data.StructLayout({name: bits for name, bits, _ in SEQUENCE_FIELDS})
    return data.StructLayout(
        {
            **{name: bits for name, bits, _ in STEP_FIELDS},
            "entries": data.ArrayLayout(entry, config.sequences),
        }
    )
