# SPDX-License-Identifier: Apache-2.0
"""VECTOR commands, and commands of several kinds one after another, with the real activation
memory.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.epilogues import written_word
from hw_tests.rtl_gen.vector.vector_bench import STEP, VectorBench, pack, small_config
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.numerics import layer_norm_row, softmax_row
from meadow.spec.step import Step
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.vector.vector_unit import VectorUnit


def test_without_the_baseline_there_is_no_softmax_unit() -> None:
    """NORM and VECTOR are as ever, SOFTMAX has no effect."""
    rng = random.Random(salted(11))
    config = small_config(16, baseline=False)
    text = convert_component(VectorUnit(config=config), name="vector")
    assert "vector.softmax" not in text and "vector.candidates" in text
    assert "vector.softmax" in convert_component(VectorUnit(config=small_config(16)), name="vector")
    bench = VectorBench(config, rng)
    expected = list(bench.content)
    softmax = {"source": 300, "source_stride": 9, "rows": 3, "keys": 20, "causal": 1}
    vector = {"destination": 400, "row_set": int(RowSet.FIXED), "rows": 1}
    norm = {
        **{"source": 20, "source_stride": 4, "destination": 200, "destination_stride": 2},
        **{"words": 4, "channels": 32, "epsilon": 9, "mean_multiplier": 1 << 15},
        **{"mean_shift": 16, "norm_shift": -2, "offset_shift": 3, "output_shift": 9},
        **{"row_set": int(RowSet.FIXED), "rows": 3, "residual": 1, "residual_shift": 4},
    }
    parameters = [rng.getrandbits(128) for _ in range(8)]
    order = [(Opcode.NORM, norm), (Opcode.SOFTMAX, softmax), (Opcode.VECTOR, vector)]
    bench.run(
        [Command(opcode, fields) for opcode, fields in [*order, (Opcode.NORM, norm)]],
        STEP,
        parameters=parameters,
        candidates=[(5, 77)],
        stall=0.3,
    )
    exponents: dict[int, int] = {}
    for _ in range(2):
        _apply_norm(expected, exponents, norm, parameters)
    expected[400] = 77 | (5 << 32)
    assert bench.content == expected


def _elements(words: list[int]) -> list[int]:
    raw = [word >> (16 * i) & 0xFFFF for word in words for i in range(8)]
    return [value - (value >> 15 << 16) for value in raw]


def _apply_norm(
    content: list[int],
    exponents: dict[int, int],
    fields: dict[str, int],
    parameters: list[int],
) -> None:
    """NORM with W = 16, four words per row and `residual`."""
    pairs = _elements(parameters)
    for row in range(fields["rows"]):
        source = fields["source"] + 4 * row
        narrow, wide = (
            layer_norm_row(
                _elements(content[source : source + 4]),
                pairs[0:64:2],
                pairs[1:64:2],
                channels=fields["channels"],
                epsilon=fields["epsilon"],
                mean_multiplier=fields["mean_multiplier"],
                mean_shift=fields["mean_shift"],
                norm_shift=fields["norm_shift"],
                offset_shift=fields["offset_shift"],
                output_shift=shift,
            )
            for shift in (fields["output_shift"], fields["residual_shift"])
        )
        for k in range(2):
            values, exponent = written_word(narrow[16 * k : 16 * k + 16])
            address = fields["destination"] + 2 * row + k
            content[address], exponents[address] = pack(values, 8), exponent
        for k in range(4):
            content[source + k], exponents[source + k] = pack(wide[8 * k : 8 * k + 8], 16), 0


def _apply_softmax(
    content: list[int], exponents: dict[int, int], fields: dict[str, int], bits: int
) -> None:
    """Causal SOFTMAX with W = 16 over two key blocks; its words have exponent 0."""
    for row in range(fields["rows"]):
        base = fields["source"] + fields["source_stride"] * row
        scores = _elements(content[base + 1 : base + 5])[: fields["keys"] + row]
        values, content[base] = softmax_row(scores, bits)
        values += [0] * (32 - len(values))
        for k in range(4):
            content[base + 1 + k] = pack(values[8 * k : 8 * k + 8], 16)
        exponents.update(dict.fromkeys(range(base, base + 5), 0))


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("head_all", [False, True])
def test_arg_max_candidates(stall: float, head_all: bool) -> None:
    rng = random.Random(salted(9))
    config = small_config(32)
    step = Step(STEP.sequences, head_all=head_all)
    candidates = [(rng.randrange(-32768, 32768), rng.randrange(1 << 20)) for _ in range(12)]
    bench = VectorBench(config, rng)
    expected = list(bench.content)
    for row in range(len(step.head_rows)):
        value, index = candidates[row]
        expected[100 + 3 * row] = index | (value & 0xFFFFFFFF) << 32
    fields = {"destination": 100, "destination_stride": 3, "row_set": int(RowSet.HEAD)}
    empty = {"destination": 100, "row_set": int(RowSet.FIXED), "rows": 0}
    bench.run(
        [Command(Opcode.VECTOR, fields), Command(Opcode.VECTOR, empty)],
        step,
        candidates=candidates,
        stall=stall,
    )
    assert bench.content == expected
    assert set(bench.exponents.values()) == {0}


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_commands_of_every_kind_in_turn(stall: float) -> None:
    """The row reader changes hands: each unit sees its own words only."""
    rng = random.Random(salted(13))
    config = small_config(16)
    bench = VectorBench(config, rng)
    norm = {
        "source": 20,
        "source_stride": 4,
        "destination": 200,
        "destination_stride": 2,
        "words": 4,
        "channels": 32,
        "epsilon": 9,
        "mean_multiplier": 1 << 15,
        "mean_shift": 16,
        "norm_shift": -2,
        "offset_shift": 3,
        "output_shift": 9,
        "row_set": int(RowSet.FIXED),
        "rows": 3,
        "residual": 1,
        "residual_shift": 4,
    }
    # Probabilities over scores, and another time over the probabilities.
    softmax = {"source": 300, "source_stride": 9, "rows": 3, "keys": 20, "causal": 1}
    arg_max = {"destination": 400, "row_set": int(RowSet.FIXED), "rows": 1}
    parameters = [rng.getrandbits(128) for _ in range(8)]
    order = [
        (Opcode.NORM, norm),
        (Opcode.SOFTMAX, softmax),
        (Opcode.NORM, norm),
        (Opcode.VECTOR, arg_max),
        (Opcode.SOFTMAX, softmax),
        (Opcode.NORM, norm),
    ]
    expected, exponents = list(bench.content), {}
    for opcode, fields in order:
        if opcode == Opcode.NORM:
            _apply_norm(expected, exponents, fields, parameters)
        elif opcode == Opcode.SOFTMAX:
            _apply_softmax(expected, exponents, fields, config.probability_bits)
        else:
            expected[400], exponents[400] = 77 | (5 << 32), 0
    bench.run(
        [Command(opcode, fields) for opcode, fields in order],
        STEP,
        parameters=parameters,
        candidates=[(5, 77)],
        stall=stall,
    )
    assert bench.content == expected
    assert bench.exponents == exponents
