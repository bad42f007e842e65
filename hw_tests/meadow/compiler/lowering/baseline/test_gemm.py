# SPDX-License-Identifier: Apache-2.0
"""The layer-by-layer baseline: its programs equal its golden model, and its traffic is what it
says.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.meadow.compiler.family_models import describe
from hw_tests.meadow.compiler.program_bench import Bench
from hw_tests.seeds import salted
from meadow.compiler.lowering.baseline.gemm_plan import gemm_plans, scores_stride
from meadow.compiler.lowering.layout import CompileError
from meadow.compiler.lowering.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.commands import Opcode, TrafficClass
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES
from meadow.spec.model import ModelDescription

TINY = named_config("tiny")


def model_of(family: str, *, layers: int, head_dim: int = 12) -> ModelDescription:
    kv_heads = 2 if FAMILIES[family].grouped_keys else 4
    return describe(
        family, layers=layers, heads=4, kv_heads=kv_heads, head_dim=head_dim, max_positions=80
    )


def tokens(count: int, vocabulary: int) -> list[int]:
    return [
        int(token) for token in np.random.default_rng(salted(count)).integers(0, vocabulary, count)
    ]


def _steps() -> list[tuple[str, int, int]]:
    """Steps of every family; bidirectional models take whole sequences."""
    steps = ((0, 1), (0, 37), (19, 30), (32, 16), (50, 3))
    return [
        (family, position, count)
        for family in FAMILIES
        for position, count in steps
        if FAMILIES[family].causal or not position
    ]


@pytest.mark.parametrize("head_dim", [6, 20])
@pytest.mark.parametrize(("family", "position", "count"), _steps())
def test_programs_equal_golden(family: str, head_dim: int, position: int, count: int) -> None:
    description = model_of(family, layers=2, head_dim=head_dim)
    model = synthetic_model(description, hidden_block=32, seed=salted(position + count))
    program = compile_program(model, TINY, dataflow="gemm", step=(position, count))
    assert program.dataflow == ("gemm", "gemm")
    bench = Bench(model, program)
    bench.preset(position, seed=count)
    bench.step({0: tokens(count, description.vocabulary)})


def test_scores_and_probabilities_travel_twice() -> None:
    description = model_of("opt", layers=1)
    model = synthetic_model(description, hidden_block=32, seed=salted(1))
    bytes_of = {}
    for dataflow in ("tphs", "gemm"):
        program = compile_program(model, TINY, dataflow=dataflow, step=(0, 48))
        bench = Bench(model, program)
        bench.step({0: tokens(48, description.vocabulary)})
        bytes_of[dataflow] = bench.machine.traffic
    extra = bytes_of["gemm"][TrafficClass.ACTIVATIONS] - bytes_of["tphs"][TrafficClass.ACTIVATIONS]
    width, lanes = TINY.width, TINY.lanes
    # Every group of rows stores and loads two words for each key block that it sees, twice.
    words = sum(lanes * 2 * -(-end // width) for end in range(lanes, 49, lanes))
    scores = description.heads * 4 * words * width
    query = 2 * 48 * bytes_of_query(description.heads, description.head_dim)
    assert extra == scores + query


def bytes_of_query(heads: int, head_dim: int) -> int:
    """Padded bytes of a row of Q on `tiny`; heads that share a word travel together."""
    padded = max(16, 1 << (head_dim - 1).bit_length())
    return -(-heads * padded // TINY.width) * TINY.width


def test_two_areas_alternate_when_they_fit() -> None:
    stride = scores_stride(TINY, 48)
    for room, bases in (
        (2 * 48 * stride, (100, 100 + 48 * stride)),
        (2 * 48 * stride - 1, (100, 100 + 32 * stride)),
    ):
        plans = gemm_plans(TINY, 0, 48, causal=True, extents=[(100, room)])
        assert plans[0].bases == bases
        assert [len(plan.bases) for plan in plans] == [2, 1]
    assert gemm_plans(TINY, 0, 48, causal=True, extents=[(0, stride)]) == []


def test_auto_takes_the_one_with_fewer_cycles() -> None:
    model = synthetic_model(model_of("opt", layers=2), seed=salted(1))
    program = compile_program(model, TINY, dataflow="auto", step=(0, 48))
    assert program.dataflow == ("tphs", "tphs")
    assert not any(command.opcode == Opcode.SOFTMAX for command in program.commands)


def test_a_layer_of_each() -> None:
    description = model_of("llama", layers=2)
    model = synthetic_model(description, hidden_block=32, seed=salted(3))
    program = compile_program(model, TINY, dataflow=("gemm", "tphs"), step=(0, 20))
    Bench(model, program).step({0: tokens(20, description.vocabulary)})


def test_errors() -> None:
    model = synthetic_model(model_of("opt", layers=1), seed=salted(1))
    with pytest.raises(CompileError, match="must be compiled for one step"):
        compile_program(model, TINY, dataflow="gemm")
    with pytest.raises(ValueError, match="dataflow must be one of tphs, gemm, auto, not 'fast'"):
        compile_program(model, TINY, dataflow="fast")
