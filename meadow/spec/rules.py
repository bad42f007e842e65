# SPDX-License-Identifier: Apache-2.0
"""Rules that join fields of a command: what must hold of them beside the range of each.

A rule is an expression that works on numbers and on hardware values alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

from meadow.spec.commands import AttendPart, Opcode, RowSet, Space
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput, outputs_with
from meadow.spec.numerics import TABLE_ENTRIES

__all__ = ["ROW_WORDS", "Rule", "command_rules", "softmax_keys"]

ROW_WORDS = 1 << 12
"""Words that a stride can step over."""


@dataclass(frozen=True)
class Rule:
    """A rule that joins fields.

    holds : from fields by name, numbers or hardware values alike, so only operators that both have:
        + - << >> & |, comparisons.
    """

    text: str
    holds: Callable[[Any], Any]


def softmax_keys(config: AcceleratorConfig) -> int:
    """Most keys of a row of SOFTMAX, two words for a block of W of them and one more in a
    stride.
    """
    return min(config.max_context, (ROW_WORDS // 2 - 1) * config.width)


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
        (Space.TABLE, 2 * TABLE_ENTRIES // config.width),
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
    operand = outputs_with(lambda epilogue: epilogue.operand)
    shifted = outputs_with(lambda epilogue: epilogue.post_shift)
    return (
        Rule(
            f"MATMUL operand_words must be 0 or a power of two with output {_either(operand)}",
            lambda f: _other_output(f, operand) | _power_of_two(f["operand_words"]),
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
    keys = softmax_keys(config)
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
