# SPDX-License-Identifier: Apache-2.0
"""A compiled program on the architectural machine equals the bit-true model, logit by logit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw_tests.meadow.compiler import family_models
from hw_tests.meadow.compiler.program_bench import BOTH, Bench
from hw_tests.seeds import salted
from meadow.compiler.lowering.layout import CompileError
from meadow.compiler.lowering.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.commands import Flag, Opcode, Outputs
from meadow.spec.config import named_config
from meadow.spec.model import ModelDescription

NAMES = ("tiny", "small", "zcu102-paper")


def describe(
    layers: int, heads: int, head_dim: int, hidden: int, vocabulary: int
) -> ModelDescription:
    return family_models.describe(
        "opt",
        layers=layers,
        heads=heads,
        head_dim=head_dim,
        hidden=hidden,
        vocabulary=vocabulary,
    )


# layers, heads, head dim, hidden, vocabulary, hidden block
SHAPES = {
    "head16": (2, 3, 16, 100, 130, 48),
    "head20": (1, 5, 20, 64, 77, None),
    "head32": (2, 2, 32, 90, 100, 40),
    "head48": (1, 2, 48, 33, 200, 17),
    "head64": (1, 3, 64, 70, 300, None),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_program_equals_bit_true_model(name: str, shape: str) -> None:
    *sizes, block = SHAPES[shape]
    model = synthetic_model(describe(*sizes), hidden_block=block, seed=salted(3))
    bench = Bench(model, compile_program(model, named_config(name)))
    random = np.random.default_rng(salted(11))

    def ids(count: int) -> list[int]:
        return random.integers(0, model.description.vocabulary, count).tolist()

    steps = [
        bench.step({0: ids(19)}, head_all=True),
        bench.step({0: ids(7), 1: ids(40)}),
        bench.step({1: ids(1)}, Outputs.ARGMAX),
        bench.step({0: ids(1), 1: ids(1)}, Outputs.LOGITS, head_all=True),
        bench.step({0: ids(24)}, Outputs(0)),
        bench.step({1: ids(3), 0: ids(1)}),
    ]
    assert bench.machine.traffic == bench.traffic(steps[-1])


@pytest.mark.parametrize("outputs", [Outputs(0), Outputs.ARGMAX, Outputs.LOGITS, BOTH])
@pytest.mark.parametrize("head_all", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_traffic_has_closed_forms(name: str, outputs: Outputs, head_all: bool) -> None:
    model = synthetic_model(describe(2, 3, 20, 100, 130), hidden_block=48, seed=salted(0))
    bench = Bench(model, compile_program(model, named_config(name)))
    for tokens in ({0: [5] * 9}, {0: [1, 2], 1: [3] * 5}):
        step = bench.step(tokens, outputs, head_all=head_all)
        assert bench.machine.traffic == bench.traffic(step)


@pytest.mark.parametrize("codec", ["raw", "dictionary", "rice"])
def test_codec_changes_bytes_but_no_result(codec: str) -> None:
    model = synthetic_model(describe(1, 4, 32, 200, 50), seed=salted(0))
    program = compile_program(model, named_config("tiny"), codec=codec)
    assert codec in {facts.codec for facts in program.matrices}
    assert codec != "raw" or {facts.codec for facts in program.matrices} == {"raw"}
    Bench(model, program).step({0: [1, 2, 3]})


def test_a_part_that_the_configuration_does_not_have_is_named() -> None:
    model = synthetic_model(describe(1, 4, 32, 200, 50), seed=salted(0))
    config = replace(named_config("tiny"), codecs=("raw", "rice"), baseline=False)
    with pytest.raises(
        ValueError, match=r"no decoder of codec dictionary \(it has raw, rice\): tiny"
    ):
        compile_program(model, config, codec="dictionary")
    with pytest.raises(ValueError, match="no softmax unit for dataflow gemm: tiny, small, "):
        compile_program(model, config, dataflow="gemm", step=(0, 4))
    program = compile_program(model, config, dataflow="auto", step=(0, 4))
    assert program.dataflow == ("tphs",)
    assert {facts.codec for facts in program.matrices} <= {"raw", "rice"}
    Bench(model, program).step({0: [1, 2, 3]})


def test_longest_sequence_and_largest_chunk() -> None:
    model = synthetic_model(describe(1, 2, 16, 64, 50), seed=salted(0))
    config = named_config("tiny")
    program = compile_program(model, config, context=100)
    assert program.plan.tokens == config.chunk_tokens == 64
    assert program.cache.rows == 112
    assert program.cache.sequence_beats * 16 == 1 * 2 * 2 * 16 * 112
    bench = Bench(model, program)
    bench.step({0: [7] * 50, 1: [8] * 14})
    bench.step({0: [9] * 49, 1: [8] * 15})
    bench.step({0: [9]})


def test_plan_uses_every_word_once_and_shrinks_with_the_memory() -> None:
    model = synthetic_model(describe(1, 2, 16, 100, 200), hidden_block=64, seed=salted(0))
    config = replace(named_config("tiny"), activation_words=256)
    program = compile_program(model, config)
    plan, row = program.plan, 3 * 2 + 4
    assert plan.tokens == 256 // row // 2 * 2 == 24 and plan.words == 240
    areas = [(plan.norm, 2), (plan.residual, 4), (plan.hidden, 4)]
    used = sorted(a.base + r * a.stride + w for a, n in areas for r in range(24) for w in range(n))
    assert used == list(range(240))
    key = {plan.key.base + r * 2 + w for r in range(24) for w in range(2)}
    value = {plan.value.base + r * 2 + w for r in range(24) for w in range(2)}
    assert not key & value and max(key | value) < 240
    assert plan.logit_slices == 4 and plan.logits.base + 24 * plan.logits.stride == 240
    bench = Bench(model, program)
    bench.step({0: list(range(24))}, head_all=True)
    bench.step({0: [3] * 20, 1: [4] * 4})


def test_value_takes_the_place_of_key_when_there_is_no_room_beside_it() -> None:
    model = synthetic_model(describe(1, 2, 16, 32, 50), seed=salted(0))
    config = replace(named_config("tiny"), activation_words=256)
    program = compile_program(model, config)
    plan = program.plan
    assert plan.tokens == 32 and plan.words == 256
    assert plan.value == plan.key and plan.value.base + 32 * plan.value.stride == 256
    Bench(model, program).step({0: list(range(20)), 1: list(range(12))}, head_all=True)


def test_order_of_a_layer_and_what_waits_for_stores() -> None:
    model = synthetic_model(describe(1, 2, 16, 64, 48), hidden_block=32, seed=salted(0))
    program = compile_program(model, named_config("tiny"))
    assert program.labels == (
        "embed",
        *(f"layers.0.{part}" for part in ("attention_norm_load", "attention_norm")),
        *(f"layers.0.{part}" for part in ("k", "k_store", "v", "v_store", "q")),
        *(f"layers.0.{part}" for part in ("attend.0", "attend.1", "o")),
        *(f"layers.0.{part}" for part in ("mlp_norm_load", "mlp_norm")),
        *(f"layers.0.{part}" for part in ("fc1.0", "fc2.0", "fc1.1", "fc2.1")),
        *("final_norm_load", "final_norm", "head.0", "head.0_store", "argmax", "argmax_store"),
        "end",
    )
    held = [
        label
        for label, command in zip(program.labels, program.commands, strict=True)
        if command.flags & Flag.HOLD_FETCH
    ]
    assert held == ["layers.0.attend.0"]
    assert program.commands[-1].opcode == Opcode.END
    for matmul in (c for c in program.commands if c.opcode == Opcode.MATMUL):
        assert matmul.values["offset0"] % 64 == 0
    for start, _ in program.regions.values():
        assert start % 256 == 0
    places = sorted(program.regions.values())
    assert all(a + n <= b for (a, n), (b, _) in zip(places, places[1:], strict=False))
    assert program.kv_start >= sum(places[-1]) and program.kv_start % 256 == 0


@pytest.mark.parametrize(
    ("changes", "shape", "context", "message"),
    [
        (
            {},
            (1, 1, 65, 64, 50),
            None,
            r"padded head dim must be at most max_head_dim \(64\), not 80",
        ),
        (
            {},
            (1, 9, 64, 64, 50),
            None,
            r"padded width must be at most norm_channels \(512\), not 576",
        ),
        ({}, (1, 2, 16, 64, 50), 0, "context must be at least 1, not 0"),
        (
            {"max_context": 64},
            (1, 2, 16, 64, 50),
            65,
            r"context must be at most max_context \(64\), not 65",
        ),
        ({}, (1, 2, 16, 64, 50), 151, "context must be at most the model's 150 positions, not 151"),
        (
            {"activation_words": 256},
            (1, 2, 16, 2048, 50),
            None,
            "activation_words must hold 2 tokens of 134 words, 268 in all, not 256; a smaller "
            "hidden",
        ),
    ],
)
def test_what_the_configuration_cannot_hold(
    changes: dict[str, int], shape: tuple[int, ...], context: int | None, message: str
) -> None:
    config = replace(named_config("tiny"), **changes)
    model = synthetic_model(describe(*shape), seed=salted(0))
    with pytest.raises(CompileError, match=message):
        compile_program(model, config, context=context)
