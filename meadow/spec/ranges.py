# SPDX-License-Identifier: Apache-2.0
"""Ranges of command fields: what the sequencer checks before it hands a command to a unit.

What depends on the step as well, as the words and the DRAM that a command reaches, is not among it:
memories and ports check their addresses themselves, and a program that waits for what never comes
ends with the watchdog.
"""

from __future__ import annotations

from enum import IntFlag

from meadow.spec.commands import (
    COMMON_FIELDS,
    AttendPart,
    Command,
    Flag,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
    Unit,
    VectorFunction,
    command_fields,
)
from meadow.spec.config import MAX_INPUTS, AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.numerics import MAX_SHIFT, TABLE_ENTRIES
from meadow.spec.parts import require_baseline, used_opcodes
from meadow.spec.rules import ROW_WORDS, command_rules, softmax_keys

__all__ = ["MAX_CHANNELS", "check_command", "field_ranges", "fixed_rows"]

MAX_CHANNELS = 1 << 19
"""Of `channels` and `first_channel` each, so that an arg-max index has 20 bits."""

_ADDRESSES = 1 << 20  # words that a field can name


def _all_bits(flags: type[IntFlag]) -> int:
    return sum(int(flag) for flag in flags)


def fixed_rows(config: AcceleratorConfig) -> int:
    """Most rows of a FIXED row set: a chunk, or the words of norm parameters or activation table,
    one in a row.
    """
    constants = max(4 * config.norm_channels, 2 * TABLE_ENTRIES) // config.width
    return max(config.chunk_tokens, constants)


def _row_words(config: AcceleratorConfig) -> int:
    """Most words of a row of a LOAD: those of a stride, and a port's share of all rows has less
    than 2^28 beats.
    """
    share = ((1 << 28) - 1) * config.ports // (fixed_rows(config) * config.word_beats)
    return min(ROW_WORDS, config.activation_words, share)


def field_ranges(config: AcceleratorConfig, opcode: Opcode) -> dict[str, tuple[int, int]]:
    """Smallest and largest legal value of the fields of an opcode that may not take all values of
    their bits.
    """
    ranges = {
        "wait": (0, int(Unit.ALL)),
        "condition": (0, _all_bits(Outputs)),
        "flags": (0, _all_bits(Flag)),
        **_own_ranges(config, opcode),
    }
    bounds = {}
    for field in command_fields(opcode):
        if field.name in ranges:
            low = -(1 << (field.bits - 1)) if field.signed else 0
            high = (1 << (field.bits - field.signed)) - 1
            least, most = ranges[field.name]
            bounds[field.name] = (max(low, least), min(high, most))
    return bounds


def _own_ranges(config: AcceleratorConfig, opcode: Opcode) -> dict[str, tuple[int, int]]:
    """Ranges of the opcode's own fields; values that their bits cannot hold do not matter."""
    row_set = (0, max(RowSet))
    moved = {
        "row_set": row_set,
        "rows": (0, fixed_rows(config)),
        "traffic": (0, max(TrafficClass)),
    }
    chunk = config.chunk_tokens
    shift = (1, MAX_SHIFT)
    # Rows that are not touched before must not lie beyond what an address can name.
    jump = (0, (_ADDRESSES - config.activation_words) // chunk)
    everything = 1 << 32
    if opcode == Opcode.LOAD:
        return {
            "space": (0, max(Space)),
            "row_beats": (1, _row_words(config) * config.word_beats),
            **moved,
        }
    if opcode == Opcode.STORE:
        return {
            "segments": (1, everything),
            "segment_beats": (1, everything),
            **moved,
        }
    if opcode == Opcode.MATMUL:
        return {
            "tiles": (1, MAX_INPUTS // config.width),
            "slices": (1, everything),
            "output": (0, max(MatmulOutput)),
            "row_set": (RowSet.CHUNK, RowSet.HEAD),
            "first_channel": (0, MAX_CHANNELS - 1),
            "channels": (0, MAX_CHANNELS),
            **{f"beats{port}": (1, everything) for port in range(config.ports)},
        }
    if opcode == Opcode.ATTEND:
        return {
            "query_stride": jump,
            "blocks": (1, max(1, config.max_head_dim // config.width)),
            "segment_beats": (1, min(config.word_beats, config.max_head_dim // 16)),
            "column_beats": (0, config.word_beats - 1),
            "score_shift": shift,
            "heads": (1, config.lanes),
            "part": (0, max(AttendPart) if config.baseline else AttendPart.WHOLE),
            "first": (0, chunk - 1),
            "rows": (0, chunk),
        }
    if opcode == Opcode.NORM:
        return {
            "source_stride": jump,
            "words": (2, 2 * config.norm_channels // config.width),
            "channels": (1, config.norm_channels),
            "epsilon": (1, 1 << 60),
            "mean_shift": shift,
            "offset_shift": (0, 16),
            "output_shift": (1, 32),
            "row_set": row_set,
            "rows": (0, chunk),
        }
    if opcode == Opcode.SOFTMAX:
        return {
            "rows": (1, chunk),
            "keys": (1, softmax_keys(config)),
        }
    if opcode == Opcode.VECTOR:
        return {
            "function": (0, max(VectorFunction)),
            "row_set": row_set,
            "rows": (0, chunk),
        }
    return {}


def check_command(config: AcceleratorConfig, command: Command) -> None:
    """ValueError names the part that an opcode needs and the configuration does not have, the first
    field that is out of its range, or the first rule that is broken.
    """
    opcode = command.opcode
    if opcode not in used_opcodes(config):
        require_baseline(config)
    values = {
        field.name: int(command.values.get(field.name, 0)) for field in command_fields(opcode)
    }
    values.update({field.name: int(getattr(command, field.name)) for field in COMMON_FIELDS})
    for name, (least, most) in field_ranges(config, opcode).items():
        if not least <= values[name] <= most:
            raise ValueError(
                f"{opcode.name} field {name} must be in {least}..{most}, not {values[name]}"
            )
    for rule in command_rules(config, opcode):
        if not rule.holds(values):
            raise ValueError(f"{rule.text}: {_named(values, opcode)}")


def _named(values: dict[str, int], opcode: Opcode) -> str:
    """The opcode's own fields that are not 0."""
    common = {field.name for field in COMMON_FIELDS}
    return ", ".join(
        f"{name} {value}" for name, value in values.items() if value and name not in common
    )
