# SPDX-License-Identifier: Apache-2.0
"""What both command pointers do with a command of the program."""

from __future__ import annotations

from amaranth.hdl import Cat, Value
from amaranth.lib import data

from meadow.spec.commands import COMMON_FIELDS, Flag
from rtl_gen.control.command_check import Verdict
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS

__all__ = ["ENTRY", "common_fields", "holds_fetch", "is_skipped", "tagged"]

ENTRY = data.StructLayout({"command": COMMAND_BITS, "index": 32, "verdict": Verdict})
"""A command, its place in the program, and whether it may be executed."""

_COMMON = data.StructLayout({field.name: field.bits for field in COMMON_FIELDS})
_TAG_START = COMMON_FIELDS[0].bits


def common_fields(entry: data.View) -> data.View:
    """The fields that commands of every opcode have."""
    return data.View(_COMMON, entry.command[: _COMMON.size])


def is_skipped(common: data.View, outputs: Value) -> Value:
    """1 if the command's condition is not met with the step's register `outputs`."""
    return (common.condition != 0) & ((common.condition & outputs) == 0)


def holds_fetch(common: data.View) -> Value:
    """1 if the command has the flag HOLD_FETCH."""
    return (common.flags & Flag.HOLD_FETCH.value).any()


def tagged(entry: data.View) -> Value:
    """The command with its index in place of what the sequencer has dealt with, see
    `command_index`.
    """
    index = entry.index[:INDEX_BITS]
    return Cat(entry.command[:_TAG_START], index, entry.command[_TAG_START + INDEX_BITS :])
