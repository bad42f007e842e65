# SPDX-License-Identifier: Apache-2.0
"""Ranges of command fields: what the sequencer checks before it hands a command to a unit.

What depends on the step as well, as the words and the DRAM that a command reaches, is not among it:
memories and ports check their addresses themselves, and a program that waits for what never comes
ends with the watchdog.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from functools import reduce
from operator import and_
from typing import Any

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
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput, SecondOperand, outputs_with
from meadow.spec.numerics import MAX_SHIFT, TABLE_ENTRIES

__all__ = ["MAX_CHANNELS", "Rule", "check_command", "command_rules", "field_ranges", "fixed_rows"]

MAX_CHANNELS = 1 << 19
"""Of `channels` and `first_channel` each, so that an arg-max index has 20 bits."""

_ADDRESSES = 1 << 20  # words that a field can name
_ROW_WORDS = 1 << 12  # words that a stride can step over


@dataclass(frozen=True)
class Rule:
    """A rule that joins fields.

    holds : from fields by name, numbers or hardware values alike, so only operators that both have:
        + - << >> & |, comparisons.
    """

    text: str
    holds: Callable[[Any], Any]


def _all_bits(flags: type[IntFlag]) -> int:
    return sum(int(flag) for flag in flags)


def fixed_rows(config: AcceleratorConfig) -> int:
    """Most rows of a FIXED row set: a chunk, or the words of norm parameters or activation table,
    one in a row.
    """
    constants = max(4 * config.norm_channels, TABLE_ENTRIES) // config.width
    return max(config.chunk_tokens, constants)


def _row_words(config: AcceleratorConfig) -> int:
    """Most words of a row of a LOAD: those of a stride, and a port's share of all rows has less
    than 2^28 beats.
    """
    share = ((1 << 28) - 1) * config.ports // (fixed_rows(config) * config.word_beats)
    return min(_ROW_WORDS, config.activation_words, share)


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
            "tiles": (1, everything),
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
            "part": (0, max(AttendPart)),
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
            "keys": (1, _softmax_keys(config)),
        }
    if opcode == Opcode.VECTOR:
        return {
            "function": (0, max(VectorFunction)),
            "row_set": row_set,
            "rows": (0, chunk),
        }
    return {}


def _softmax_keys(config: AcceleratorConfig) -> int:
    """Most keys of a row of SOFTMAX, two words for a block of W of them and one more in a
    stride.
    """
    return min(config.max_context, (_ROW_WORDS // 2 - 1) * config.width)


def command_rules(config: AcceleratorConfig, opcode: Opcode) -> tuple[Rule, ...]:
    """What else must hold of the fields of an opcode."""
    make = _RULES.get(opcode)
    return () if make is None else make(config)


def _load_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    beats, word_log2 = config.word_beats, config.word_beats.bit_length() - 1
    rules = [
        Rule(
            f"LOAD row_beats must be a multiple of {beats}",
            lambda f: (f["row_beats"] & (beats - 1)) == 0,
        )
    ]
    for space, words in (
        (Space.NORM, 4 * config.norm_channels // config.width),
        (Space.TABLE, TABLE_ENTRIES // config.width),
    ):

        def holds(f: Any, space: int = int(space), words: int = words) -> Any:
            one_row = (f["rows"] <= 1) & (f["destination"] + (f["row_beats"] >> word_log2) <= words)
            one_word = (f["destination_stride"] <= 1) & (f["row_beats"] == beats)
            inside = one_row | (one_word & (f["destination"] + f["rows"] <= words))
            return (f["space"] != space) | ((f["row_set"] == int(RowSet.FIXED)) & inside)

        rules.append(
            Rule(
                f"LOAD to {space.name} must be one FIXED row, or rows of one word and a stride of "
                f"1, below word {words}",
                holds,
            )
        )
    return tuple(rules)


def _store_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    beats = config.word_beats
    return (
        Rule(
            f"STORE segment_beats must divide {beats} or be a multiple of it",
            lambda f: (
                ((f["segment_beats"] & (beats - 1)) == 0)
                | ((f["segment_beats"] < beats) & _power_of_two(f["segment_beats"]))
            ),
        ),
        Rule(
            "STORE to the cache must have row_set CHUNK",
            lambda f: (f["cache"] == 0) | (f["row_set"] == int(RowSet.CHUNK)),
        ),
    )


def _matmul_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    rotary = outputs_with(lambda epilogue: epilogue.second == SecondOperand.ROTARY)
    shifted = outputs_with(lambda epilogue: epilogue.post_shift)
    return (
        Rule(
            f"MATMUL rotary_words must be a power of two with output {_either(rotary)}",
            lambda f: (
                _other_output(f, rotary)
                | ((f["rotary_words"] != 0) & _power_of_two(f["rotary_words"]))
            ),
        ),
        Rule(
            f"MATMUL post_shift must be in 1..31 with output {_either(shifted)}",
            lambda f: (
                _other_output(f, shifted) | ((f["post_shift"] != 0) & (f["post_shift"] <= 31))
            ),
        ),
    )


def _either(outputs: tuple[MatmulOutput, ...]) -> str:
    *others, last = (output.name for output in outputs)
    return f"{', '.join(others)} or {last}" if others else last


def _other_output(f: Any, outputs: tuple[MatmulOutput, ...]) -> Any:
    """Whether the output of a MATMUL is none of these."""
    return reduce(and_, (f["output"] != int(output) for output in outputs))


def _attend_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    beats, words = config.word_beats, config.activation_words
    return (
        Rule(
            f"ATTEND segment_beats must divide {beats}",
            lambda f: _power_of_two(f["segment_beats"]),
        ),
        Rule(
            f"ATTEND segment_beats must be {beats} with blocks > 1",
            lambda f: (f["blocks"] <= 1) | (f["segment_beats"] == beats),
        ),
        Rule(
            "ATTEND column_beats must be a multiple of segment_beats",
            lambda f: (f["column_beats"] & (f["segment_beats"] - 1)) == 0,
        ),
        Rule(
            "ATTEND heads must be 1 with part SCORES or VALUES",
            lambda f: (f["part"] == int(AttendPart.WHOLE)) | (f["heads"] == 1),
        ),
        Rule(
            "ATTEND first must be 0 without rows",
            lambda f: (f["rows"] != 0) | (f["first"] == 0),
        ),
        Rule(
            f"ATTEND query must be below {words} with first > 0",
            lambda f: (f["first"] == 0) | (f["query"] < words),
        ),
    )


def _norm_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    half_log2, words = config.width.bit_length() - 2, config.activation_words
    head = int(RowSet.HEAD)
    return (
        Rule("NORM words must be even", lambda f: (f["words"] & 1) == 0),
        Rule(
            f"NORM channels must be at most words * {1 << half_log2}",
            lambda f: f["channels"] <= (f["words"] << half_log2),
        ),
        Rule(
            "NORM residual_shift must be in 1..32 with residual",
            lambda f: (
                (f["residual"] == 0) | ((f["residual_shift"] != 0) & (f["residual_shift"] <= 32))
            ),
        ),
        Rule(
            "NORM with residual must have row_set FIXED or CHUNK",
            lambda f: (f["residual"] == 0) | (f["row_set"] != head),
        ),
        Rule(
            f"NORM source must be below {words} with row_set HEAD",
            lambda f: (f["row_set"] != head) | (f["source"] < words),
        ),
    )


def _softmax_rules(config: AcceleratorConfig) -> tuple[Rule, ...]:
    keys = _softmax_keys(config)
    return (
        Rule(
            f"SOFTMAX must see at most {keys} keys",
            lambda f: (f["causal"] == 0) | (f["keys"] + f["rows"] <= keys + 1),
        ),
    )


def _power_of_two(value: Any) -> Any:
    """Whether a value of at least 1 is a power of two."""
    return (value & (value - 1)) == 0


_RULES: dict[Opcode, Callable[[AcceleratorConfig], tuple[Rule, ...]]] = {
    Opcode.LOAD: _load_rules,
    Opcode.STORE: _store_rules,
    Opcode.MATMUL: _matmul_rules,
    Opcode.ATTEND: _attend_rules,
    Opcode.NORM: _norm_rules,
    Opcode.SOFTMAX: _softmax_rules,
}


def check_command(config: AcceleratorConfig, command: Command) -> None:
    """ValueError names the first field that is out of its range, or the first rule that is
    broken.
    """
    opcode = command.opcode
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
