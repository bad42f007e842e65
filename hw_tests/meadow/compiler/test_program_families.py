# SPDX-License-Identifier: Apache-2.0
"""Programs of every family, with both variants of attention, equal the bit-true model bit for
bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw_tests.marks import slow
from hw_tests.meadow.compiler.family_models import describe
from hw_tests.meadow.compiler.program_bench import Bench
from hw_tests.seeds import salted
from meadow.compiler.lowering.layout import CompileError
from meadow.compiler.lowering.program import Program, compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.model.quantised import QuantisedLayer, QuantisedModel
from meadow.spec.commands import Command, Flag, Opcode, Outputs, RowSet, Space, Unit
from meadow.spec.config import named_config
from meadow.spec.epilogue import MatmulOutput

NAMES = ("tiny", slow("small"), slow("zcu102-paper"))

# What a decoder has: heads, KV heads, head dim, and what else differs from a small one; hidden
# block.
DECODERS: dict[str, tuple[dict[str, Any], int | None]] = {
    "alone": (dict(heads=3, kv_heads=3, head_dim=4, width=20, hidden=33), None),
    "pairs": (dict(heads=4, kv_heads=2, head_dim=16, width=50, hidden=100, layers=2), 40),
    "threes": (dict(heads=9, kv_heads=3, head_dim=10, width=70, hidden=90, tied_head=True), 17),
    "all": (dict(heads=5, kv_heads=1, head_dim=32, width=33, vocabulary=131), 48),
    "blocks": (dict(heads=6, kv_heads=3, head_dim=40, width=100, hidden=65), 65),
    "many": (dict(heads=40, kv_heads=2, head_dim=6, width=48), None),
}
# Encoders: heads, head dim, and what differs.
ENCODERS: dict[str, dict[str, Any]] = {
    "narrow": dict(heads=5, head_dim=4, hidden=33, vocabulary=21),
    "odd": dict(heads=3, head_dim=20, hidden=100, layers=2),
    "wide": dict(heads=2, head_dim=40, hidden=70),
}


def ids(random: np.random.Generator, model: QuantisedModel, count: int) -> list[int]:
    return random.integers(0, model.description.vocabulary, count).tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", DECODERS)
def test_rotary_gated_grouped_decoder(name: str, shape: str) -> None:
    sizes, block = DECODERS[shape]
    model = synthetic_model(describe("llama", **sizes), hidden_block=block, seed=salted(3))
    bench = Bench(model, compile_program(model, named_config(name)))
    random = np.random.default_rng(salted(11))
    steps = [
        bench.step({0: ids(random, model, 19)}, head_all=True),
        bench.step({0: ids(random, model, 7), 1: ids(random, model, 40)}),
        bench.step({1: ids(random, model, 1)}, Outputs.ARGMAX),
        bench.step({0: ids(random, model, 1), 1: ids(random, model, 1)}, head_all=True),
        bench.step({0: ids(random, model, 24)}, Outputs(0)),
        bench.step({1: ids(random, model, 3), 0: ids(random, model, 1)}),
    ]
    assert bench.machine.traffic == bench.traffic(steps[-1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", ["vit", "bert"])
@pytest.mark.parametrize("shape", ENCODERS)
def test_encoders(name: str, family: str, shape: str) -> None:
    model = synthetic_model(describe(family, **ENCODERS[shape]), hidden_block=40, seed=salted(5))
    config, random = named_config(name), np.random.default_rng(salted(2))
    for head_all, counts in ((True, [33]), (False, [20, 1]), (True, [17, 40])):
        bench = Bench(model, compile_program(model, config))
        tokens = {index: ids(random, model, count) for index, count in enumerate(counts)}
        step = bench.step(tokens, head_all=head_all)
        assert bench.machine.traffic == bench.traffic(step)
        assert {command.values["causal"] for command in attends(bench.program)} == {0}


def attends(program: Program) -> list[Command]:
    return [command for command in program.commands if command.opcode == Opcode.ATTEND]


def test_both_variants_run_and_read_the_cache_as_often_as_they_say() -> None:
    config = replace(named_config("small"), groups=8)
    model = synthetic_model(describe("llama", heads=12, kv_heads=2, head_dim=16), seed=salted(1))
    bench = Bench(model, compile_program(model, config))
    assert bench.program.plan.tokens == 32
    few = bench.step({0: list(range(8))})
    assert Outputs.NARROW in few.outputs and bench.attends(few) == [3, 3] * 2
    assert bench.machine.traffic == bench.traffic(few)
    many = bench.step({0: list(range(9))})
    assert Outputs.WIDE in many.outputs and bench.attends(many) == [1] * 12
    assert bench.machine.traffic == bench.traffic(many)
    both = bench.step({0: [3] * 8, 1: [4] * 8})
    assert Outputs.NARROW in both.outputs
    assert bench.machine.traffic == bench.traffic(both)


def test_the_first_attend_of_each_variant_holds_the_fetch() -> None:
    model = synthetic_model(
        describe("llama", heads=12, kv_heads=2, head_dim=16, layers=2), seed=salted(1)
    )
    program = compile_program(model, replace(named_config("small"), groups=8))
    held = [
        label
        for label, command in zip(program.labels, program.commands, strict=True)
        if command.flags & Flag.HOLD_FETCH
    ]
    assert held == [
        f"layers.{index}.{name}.0.0" for index in range(2) for name in ("attend", "attend_wide")
    ]
    conditions = [command.condition for command in attends(program)]
    assert conditions == ([Outputs.NARROW] * 4 + [Outputs.WIDE] * 12) * 2
    waits = [command.wait for command in attends(program)[:16]]
    assert waits == [Unit.ARRAY, *[Unit(0)] * 3, Unit.ARRAY, *[Unit(0)] * 11]


def test_one_variant_if_all_heads_fit_the_longest_chunk() -> None:
    model = synthetic_model(describe("llama", heads=4, kv_heads=2, head_dim=16), seed=salted(0))
    config = replace(named_config("small"), activation_words=256)
    program = compile_program(model, config)
    assert program.plan.tokens <= config.groups * 2
    assert [(c.condition, c.values["heads"]) for c in attends(program)] == [(Outputs(0), 2)] * 2
    held = [bool(command.flags & Flag.HOLD_FETCH) for command in attends(program)]
    assert held == [True, False]


def test_query_heads_of_a_group_lie_at_one_column_blocks_apart() -> None:
    """Words of 64: four heads of 16 in a word; heads of 80 take two."""
    model = synthetic_model(
        describe("llama", heads=12, kv_heads=6, head_dim=16, width=64), seed=salted(0)
    )
    program = compile_program(model, named_config("zcu102-paper"))
    assert program.sizes.query == 2 * 2 * 64 and program.sizes.key_value == 2 * 64
    base = program.plan.query.base
    places = [(c.values["query"] - base, c.values["column_beats"]) for c in attends(program)]
    narrow = [(0, 0), (0, 1), (0, 2), (0, 3), (2, 0), (2, 1)]
    assert places[:6] == narrow
    model = synthetic_model(
        describe("llama", heads=4, kv_heads=2, head_dim=80, width=64), seed=salted(0)
    )
    program = compile_program(model, named_config("zcu102-paper"))
    assert program.sizes.query == 4 * 128
    base = program.plan.query.base
    assert [c.values["query"] - base for c in attends(program)[:2]] == [0, 4]


def test_order_of_a_gated_layer() -> None:
    model = synthetic_model(
        describe("llama", heads=2, head_dim=16, layers=2), hidden_block=32, seed=salted(0)
    )
    program = compile_program(model, named_config("tiny"))
    layers = [label for label in program.labels if label.startswith("layers.")]
    both = [
        *("attention_norm_load", "attention_norm", "k", "k_store", "v", "v_store", "q"),
        *("attend.0", "attend.1", "o", "mlp_norm_load", "mlp_norm"),
        *("fc1.0", "up.0", "fc2.0", "fc1.1", "up.1", "fc2.1"),
    ]
    first = [*both[:7], "table_load", *both[7:]]
    assert layers == [f"layers.0.{part}" for part in first] + [f"layers.1.{part}" for part in both]
    assert program.labels[:2] == ("embed", "rotary")
    by_label = dict(zip(program.labels, program.commands, strict=True))
    outputs = {
        part: MatmulOutput(by_label[f"layers.1.{part}"].values["output"])
        for part in ("q", "k", "v", "fc1.0", "up.0", "fc2.0")
    }
    assert outputs == {
        "q": MatmulOutput.ROTATE8,
        "k": MatmulOutput.ROTATE8,
        "v": MatmulOutput.INT8,
        "fc1.0": MatmulOutput.TABLE16,
        "up.0": MatmulOutput.GATE,
        "fc2.0": MatmulOutput.RESIDUAL16,
    }
    assert by_label["layers.0.table_load"].values["space"] == Space.TABLE
    assert by_label["layers.0.table_load"].wait == Unit(0)
    assert by_label["layers.0.up.0"].wait == Unit.ARRAY
    hidden = program.plan.hidden
    assert hidden.stride == 4
    gate = {"operand": hidden.base, "operand_stride": 4, "operand_words": 0}
    gate |= {"destination": hidden.base, "destination_stride": 4, "slices": 2}
    assert gate.items() <= by_label["layers.0.up.0"].values.items() | {("operand_words", 0)}
    assert by_label["layers.0.fc2.0"].values["source_stride"] == 4
    assert by_label["layers.0.fc2.0"].values["tiles"] == 2
    assert by_label["rotary"].values["offset"] == program.regions["rotary"][0]


def test_order_of_a_post_norm_model() -> None:
    model = synthetic_model(describe("bert", heads=2, head_dim=16), seed=salted(0))
    program = compile_program(model, named_config("tiny"))
    assert program.labels == (
        *("embed", "embedding_norm_load", "embedding_norm"),
        *(f"layers.0.{part}" for part in ("k", "k_store", "v", "v_store", "q", "table_load")),
        *(f"layers.0.{part}" for part in ("attend.0", "attend.1", "o")),
        *(f"layers.0.{part}" for part in ("attention_norm_load", "attention_norm")),
        *(f"layers.0.{part}" for part in ("fc1.0", "fc2.0", "mlp_norm_load", "mlp_norm")),
        *("hidden_store", "end"),
    )
    norms = [command for command in program.commands if command.opcode == Opcode.NORM]
    assert all(command.values["residual"] == 1 for command in norms)
    store = program.commands[-2]
    assert store.condition == Outputs.LOGITS and store.values["row_set"] == RowSet.CHUNK
    assert "argmax" not in program.regions and program.sizes.vocabulary == 0
    assert [piece.channels for piece in program.logits] == [program.sizes.width]


def with_tables(model: QuantisedModel, tables: list[np.ndarray]) -> QuantisedModel:
    layers: list[QuantisedLayer] = [
        replace(layer, activation_table=table)
        for layer, table in zip(model.layers, tables, strict=True)
    ]
    return replace(model, layers=tuple(layers))


@pytest.mark.parametrize("family", ["llama", "vit", "bert"])
def test_a_table_is_loaded_where_it_changes(family: str) -> None:
    model = synthetic_model(describe(family, heads=2, head_dim=16, layers=4), seed=salted(0))
    table = model.layers[0].activation_table
    assert table is not None
    other = -table
    model = with_tables(model, [table, other, other.copy(), table])
    bench = Bench(model, compile_program(model, named_config("tiny")))
    loads = [label for label in bench.program.labels if label.endswith("table_load")]
    assert loads == [f"layers.{index}.table_load" for index in (0, 1, 3)]
    bench.step({0: list(range(11))})


def test_rotary_rows_repeat_narrow_heads_and_pad_with_zeros() -> None:
    model = synthetic_model(describe("llama", heads=3, head_dim=12), seed=salted(0))
    assert model.rotary is not None
    program = compile_program(model, named_config("zcu102-paper"))
    rows = program.rotary.reshape(150, 2, 8, 2)
    assert (program.plan.rotary.stride, program.sizes.rotary) == (1, 64)
    assert (rows[:, :, :6] == model.rotary[:, None]).all() and not rows[:, :, 6:].any()
    program = compile_program(model, named_config("tiny"))
    assert program.rotary.shape == (150, 2 * 8)
    assert (program.rotary.reshape(150, 8, 2)[:, :6] == model.rotary).all()


def test_a_head_dim_that_is_no_power_of_two_is_padded_to_one_only_with_rotary_positions() -> None:
    tiny = named_config("tiny")
    for family, padded in (("opt", 48), ("llama", 64)):
        model = synthetic_model(describe(family, heads=1, head_dim=40), seed=salted(0))
        assert compile_program(model, tiny).sizes.head_dim == padded
    config = replace(tiny, max_head_dim=512, norm_channels=1024)
    model = synthetic_model(describe("llama", heads=1, head_dim=258), seed=salted(0))
    with pytest.raises(CompileError, match=r"rotary positions must be at most 16 words \(256\)"):
        compile_program(model, config)


def test_dataflows_are_checked() -> None:
    model = synthetic_model(describe("opt", heads=1, head_dim=16, layers=2), seed=salted(0))
    config = named_config("tiny")
    with pytest.raises(ValueError, match="dataflow must be one of tphs.*, not 'other'"):
        compile_program(model, config, dataflow="other")
    with pytest.raises(ValueError, match="dataflow must be given for 2 layers, not 1"):
        compile_program(model, config, dataflow=["tphs"])
    same = compile_program(model, config, dataflow=["tphs", "tphs"])
    assert same.commands == compile_program(model, config).commands
