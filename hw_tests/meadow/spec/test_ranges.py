# SPDX-License-Identifier: Apache-2.0
"""Ranges of command fields: what compiled programs use is legal, what breaks a unit is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hw_tests.models import family_description, random_model
from meadow.compiler.lowering.program import compile_program
from meadow.spec.commands import (
    AttendPart,
    Command,
    Flag,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
    Unit,
    command_fields,
)
from meadow.spec.config import CONFIGURATIONS, named_config
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.families import FAMILIES
from meadow.spec.ranges import check_command, field_ranges, fixed_rows
from meadow.spec.rules import command_rules

CONFIG = named_config("zcu102-paper")
LEGAL: dict[Opcode, dict[str, int]] = {
    Opcode.LOAD: {"row_beats": 4},
    Opcode.STORE: {"segments": 1, "segment_beats": 1},
    Opcode.MATMUL: {
        "tiles": 1,
        "slices": 1,
        "row_set": RowSet.CHUNK,
        **{f"beats{port}": 1 for port in range(4)},
    },
    Opcode.ATTEND: {"blocks": 1, "segment_beats": 4, "score_shift": 1, "heads": 1},
    Opcode.NORM: {"words": 2, "channels": 16, "epsilon": 1, "mean_shift": 1, "output_shift": 1},
    Opcode.SOFTMAX: {"rows": 1, "keys": 1},
    Opcode.VECTOR: {},
    Opcode.FENCE: {},
    Opcode.END: {},
}


def command(opcode: Opcode, **values: Any) -> Command:
    return Command(opcode, {**LEGAL[opcode], **values})


@pytest.mark.parametrize("name", ["tiny", "small"])
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_programs_are_legal(family: str, name: str) -> None:
    config = named_config(name)
    program = compile_program(random_model(family_description(family)), config)
    for entry in program.commands:
        check_command(config, entry)


def test_the_baseline_of_attention_is_legal() -> None:
    config = named_config("tiny")
    model = random_model(family_description("opt"))
    program = compile_program(model, config, dataflow="gemm", step=(5, 20))
    parts = {entry.values.get("part") for entry in program.commands}
    assert {AttendPart.SCORES, AttendPart.VALUES} <= parts
    for entry in program.commands:
        check_command(config, entry)


@pytest.mark.parametrize("opcode", Opcode)
def test_the_least_command_is_legal(opcode: Opcode) -> None:
    check_command(CONFIG, command(opcode))


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("opcode", Opcode)
def test_ranges_name_fields_and_fit_their_bits(opcode: Opcode, name: str) -> None:
    config = named_config(name)
    fields = {field.name: field for field in command_fields(opcode)}
    ranges = field_ranges(config, opcode)
    assert {"wait", "condition", "flags"} <= set(ranges) <= set(fields)
    for field, (least, most) in ranges.items():
        bits, signed = fields[field].bits, fields[field].signed
        low = -(1 << (bits - 1)) if signed else 0
        assert low <= least <= most < 1 << (bits - signed)
    zeros = dict.fromkeys(fields, 0)
    for rule in command_rules(config, opcode):
        assert isinstance(rule.text, str) and rule.holds({**zeros, **LEGAL[opcode]})


@pytest.mark.parametrize("opcode", Opcode)
def test_common_fields(opcode: Opcode) -> None:
    """Bits without a meaning must be 0."""
    for name, bits in (("wait", Unit(16)), ("condition", Outputs(16)), ("flags", Flag(2))):
        with pytest.raises(ValueError, match=f"{opcode.name} field {name} must be in 0"):
            check_command(CONFIG, replace(command(opcode), **{name: bits}))


@pytest.mark.parametrize(
    ("opcode", "values", "message"),
    [
        (Opcode.LOAD, {"space": 3}, "space must be in 0..2, not 3"),
        (Opcode.LOAD, {"row_beats": 0}, "row_beats must be in 1"),
        (Opcode.LOAD, {"row_beats": 6}, "row_beats must be a multiple of 4"),
        (Opcode.LOAD, {"row_set": 3}, "row_set must be in 0..2, not 3"),
        (Opcode.LOAD, {"rows": 641}, "rows must be in 0..640, not 641"),
        (Opcode.LOAD, {"traffic": 5}, "traffic must be in 0..4, not 5"),
        (Opcode.LOAD, {"space": 1, "row_set": 1}, "LOAD to NORM must be one FIXED row"),
        (Opcode.LOAD, {"space": 1, "rows": 2, "row_beats": 8}, "LOAD to NORM must be one FIXED"),
        (
            Opcode.LOAD,
            {"space": 1, "rows": 2, "destination": 511, "destination_stride": 1},
            "below word 512",
        ),
        (Opcode.LOAD, {"space": 2, "rows": 1, "row_beats": 260}, "LOAD to TABLE .* word 64"),
        (Opcode.STORE, {"segments": 0}, "segments must be in 1"),
        (Opcode.STORE, {"segment_beats": 0}, "segment_beats must be in 1"),
        (Opcode.STORE, {"segment_beats": 3}, "segment_beats must divide 4 or be a multiple"),
        (Opcode.STORE, {"segment_beats": 6}, "segment_beats must divide 4 or be a multiple"),
        (Opcode.STORE, {"cache": 1}, "to the cache must have row_set CHUNK"),
        (Opcode.MATMUL, {"tiles": 0}, "tiles must be in 1"),
        (Opcode.MATMUL, {"tiles": 244}, "tiles must be in 1..243, not 244"),
        (Opcode.MATMUL, {"slices": 0}, "slices must be in 1"),
        (Opcode.MATMUL, {"output": 8}, "output must be in 0..7"),
        (Opcode.MATMUL, {"row_set": RowSet.FIXED}, "row_set must be in 1..2"),
        (Opcode.MATMUL, {"beats3": 0}, "beats3 must be in 1"),
        (Opcode.MATMUL, {"channels": (1 << 19) + 1}, "channels must be in 0..524288"),
        (Opcode.MATMUL, {"first_channel": 1 << 19}, "first_channel must be in 0..524287"),
        (
            Opcode.MATMUL,
            {"output": MatmulOutput.ROTATE8, "operand_words": 3, "post_shift": 1},
            "operand_words must be 0 or a power of two with output ROTATE8 or GATE",
        ),
        (
            Opcode.MATMUL,
            {"output": MatmulOutput.GATE, "operand_words": 6, "post_shift": 1},
            "operand_words must be 0 or a power of two",
        ),
        (Opcode.MATMUL, {"output": MatmulOutput.GATE}, "post_shift must be in 1..31"),
        (
            Opcode.MATMUL,
            {"output": MatmulOutput.GATE, "post_shift": 32},
            "post_shift must be in 1..31",
        ),
        (Opcode.ATTEND, {"blocks": 0}, "blocks must be in 1..2"),
        (Opcode.ATTEND, {"blocks": 3}, "blocks must be in 1..2"),
        (Opcode.ATTEND, {"blocks": 2, "segment_beats": 2}, "must be 4 with blocks > 1"),
        (Opcode.ATTEND, {"segment_beats": 0}, "segment_beats must be in 1..4"),
        (Opcode.ATTEND, {"segment_beats": 3}, "segment_beats must divide 4"),
        (Opcode.ATTEND, {"column_beats": 4}, "column_beats must be in 0..3"),
        (Opcode.ATTEND, {"segment_beats": 2, "column_beats": 1}, "multiple of segment_beats"),
        (Opcode.ATTEND, {"score_shift": 48}, "score_shift must be in 1..47"),
        (Opcode.ATTEND, {"heads": 0}, "heads must be in 1..16"),
        (Opcode.ATTEND, {"heads": 17}, "heads must be in 1..16"),
        (Opcode.ATTEND, {"part": 3}, "part must be in 0..2"),
        (Opcode.ATTEND, {"part": 1, "heads": 2}, "heads must be 1 with part SCORES"),
        (Opcode.ATTEND, {"first": 1}, "first must be 0 without rows"),
        (Opcode.ATTEND, {"first": 640, "rows": 1}, "first must be in 0..639"),
        (Opcode.ATTEND, {"rows": 641}, "rows must be in 0..640"),
        (Opcode.ATTEND, {"query_stride": 1588}, "query_stride must be in 0..1587"),
        (
            Opcode.ATTEND,
            {"first": 1, "rows": 1, "query": 32768},
            "query must be below 32768 with first > 0",
        ),
        (Opcode.NORM, {"words": 0}, "words must be in 2..256"),
        (Opcode.NORM, {"words": 3}, "words must be even"),
        (Opcode.NORM, {"words": 258}, "words must be in 2..256"),
        (Opcode.NORM, {"channels": 0}, "channels must be in 1..8192"),
        (Opcode.NORM, {"channels": 65}, "channels must be at most words"),
        (Opcode.NORM, {"epsilon": 0}, "epsilon must be in 1"),
        (Opcode.NORM, {"mean_shift": 0}, "mean_shift must be in 1..47"),
        (Opcode.NORM, {"offset_shift": 17}, "offset_shift must be in 0..16"),
        (Opcode.NORM, {"output_shift": 33}, "output_shift must be in 1..32"),
        (Opcode.NORM, {"residual": 1}, "residual_shift must be in 1..32"),
        (Opcode.NORM, {"residual": 1, "residual_shift": 33}, "residual_shift must be in 1..32"),
        (
            Opcode.NORM,
            {"residual": 1, "residual_shift": 1, "row_set": RowSet.HEAD},
            "residual must have row_set FIXED or CHUNK",
        ),
        (
            Opcode.NORM,
            {"row_set": RowSet.HEAD, "source": 1 << 15},
            "source must be below 32768 with row_set HEAD",
        ),
        (Opcode.SOFTMAX, {"rows": 0}, "rows must be in 1..640"),
        (Opcode.SOFTMAX, {"keys": 0}, "keys must be in 1..4096"),
        (Opcode.SOFTMAX, {"keys": 4096, "rows": 2, "causal": 1}, "see at most 4096 keys"),
        (Opcode.VECTOR, {"function": 1}, "function must be in 0..0"),
        (Opcode.VECTOR, {"rows": 641}, "rows must be in 0..640"),
    ],
)
def test_broken_rules(opcode: Opcode, values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_command(CONFIG, command(opcode, **values))


@pytest.mark.parametrize(
    ("opcode", "values"),
    [
        (Opcode.LOAD, {"space": Space.NORM, "rows": 512, "destination_stride": 1}),
        (Opcode.LOAD, {"space": Space.NORM, "rows": 1, "row_beats": 2048}),
        (
            Opcode.LOAD,
            {"space": Space.TABLE, "rows": 2, "destination": 30, "destination_stride": 1},
        ),
        (Opcode.STORE, {"segment_beats": 2, "traffic": TrafficClass.COMMANDS}),
        (Opcode.STORE, {"segment_beats": 12, "cache": 1, "row_set": RowSet.CHUNK}),
        (Opcode.MATMUL, {"output": MatmulOutput.ROTATE8, "operand_words": 32, "post_shift": 31}),
        (Opcode.MATMUL, {"output": MatmulOutput.GATE, "operand_words": 0, "post_shift": 1}),
        (Opcode.MATMUL, {"output": MatmulOutput.RELU, "operand_words": 3, "exponent": 7}),
        (Opcode.MATMUL, {"tiles": 243}),
        (Opcode.STORE, {"exponents": 1}),
        (Opcode.ATTEND, {"segment_beats": 2, "column_beats": 2, "heads": 16, "output_shift": -64}),
        (Opcode.ATTEND, {"blocks": 2, "part": AttendPart.VALUES, "first": 639, "rows": 1}),
        (Opcode.NORM, {"words": 256, "channels": 8192, "norm_shift": -128}),
        (Opcode.SOFTMAX, {"keys": 4096, "rows": 640}),
        (Opcode.SOFTMAX, {"keys": 4095, "rows": 2, "causal": 1}),
    ],
)
def test_edges_are_legal(opcode: Opcode, values: dict[str, int]) -> None:
    check_command(CONFIG, command(opcode, **values))


def test_commands_of_a_part_that_is_not_there_are_refused() -> None:
    """SOFTMAX, and attention in parts; whole attention stays."""
    without = replace(CONFIG, baseline=False)
    with pytest.raises(ValueError, match="^this configuration has no softmax unit for dataflow"):
        check_command(without, command(Opcode.SOFTMAX))
    check_command(without, command(Opcode.ATTEND))
    for part in (AttendPart.SCORES, AttendPart.VALUES):
        values = {"part": part}
        check_command(CONFIG, command(Opcode.ATTEND, **values))
        with pytest.raises(ValueError, match=f"field part must be in 0..0, not {int(part)}"):
            check_command(without, command(Opcode.ATTEND, **values))


def test_fields_of_ports_that_are_not_there_do_not_matter() -> None:
    values = {**LEGAL[Opcode.MATMUL], "beats1": 0, "beats2": 0, "beats3": 0}
    check_command(named_config("tiny"), Command(Opcode.MATMUL, values))


def test_fixed_rows_hold_the_constants() -> None:
    """Norm parameters and activation table are loaded a word in a row."""
    for name, rows in (("tiny", 256), ("small", 128), ("zcu102-paper", 640)):
        assert fixed_rows(named_config(name)) == rows
