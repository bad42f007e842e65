# SPDX-License-Identifier: Apache-2.0
"""Options of a bench run, the simulated part of a model, and how a prompt is cut into chunks."""

from __future__ import annotations

import pytest

from meadow.compiler.lowering.layout import plan_activations, plan_sizes
from workbench.bench.model import BenchModel, BenchOptions
from workbench.configurations.chosen import choose_config
from workbench.devices import Throttle

pytestmark = pytest.mark.usefixtures("small_workloads")

FREE = Throttle()


def options(**values: object) -> BenchOptions:
    chosen = {"workload": "opt", "chosen": choose_config("tiny"), "tokens": 8} | values
    return BenchOptions(**chosen)  # pyright: ignore[reportArgumentType]


def built(**values: object) -> BenchModel:
    return BenchModel(options(**values), lambda text: None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workload": "gpt"}, "unknown workload 'gpt': choose from opt-125m"),
        ({"phase": "train"}, "phase must be one of prefill, decode, attention, not 'train'"),
        ({"dataflow": "x"}, "dataflow must be one of tphs, gemm, auto, not 'x'"),
        ({"codec": "zip"}, "codec must be one of .*, not 'zip'"),
        ({"tokens": 0}, "tokens must be at least 1, not 0"),
        ({"context": -1}, "context must be at least 0, not -1"),
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"layers": -1}, "layers must be at least 0, not -1"),
        ({"chunks": -1}, "chunks must be at least 0, not -1"),
        ({"head_channels": -1}, "head_channels must be at least 0, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"phase": "decode"}, "decode takes in 1 token of each sequence, not 8"),
        ({"workload": "vit", "context": 4}, "vit is bidirectional: it has no decode"),
        ({"workload": "bert", "phase": "decode", "tokens": 1}, "bert is bidirectional"),
        ({"batch": 5}, r"tiny takes 1\.\.4 sequences, not 5"),
        ({"batch": 2, "dataflow": "gemm"}, "dataflow gemm takes 1 sequence, not 2"),
        ({"tokens": 500, "context": 13}, "tiny attends to 512 tokens, not 513"),
    ],
)
def test_an_option_out_of_range_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(**values)


def test_more_layers_than_there_are_is_named() -> None:
    with pytest.raises(ValueError, match=r"opt has 1\.\.2 layers, not 3"):
        built(layers=3)


@pytest.mark.parametrize(
    ("values", "prompt"),
    [({}, 8), ({"tokens": None}, 48), ({"phase": "decode", "tokens": None}, 1)],
)
def test_the_prompt_by_phase(values: dict[str, object], prompt: int) -> None:
    assert options(**values).prompt == prompt


def test_zero_is_all() -> None:
    whole = built(layers=0, head_channels=0).description
    assert (whole.layers, whole.vocabulary) == (2, 40)
    part = built(layers=1, head_channels=32, context=100).description
    assert (part.layers, part.vocabulary, part.max_positions) == (1, 32, 108)
    assert built(head_channels=1000).description.vocabulary == 40
    # The embeddings of a model without head are not cut.
    assert built(workload="bert", head_channels=8).description.vocabulary == 40


@pytest.mark.parametrize(("tokens", "chunk"), [(1, 1), (7, 7), (64, 64), (65, 34), (200, 50)])
def test_chunks_are_equal_and_as_few_as_memory_allows(tokens: int, chunk: int) -> None:
    """tiny's 64 tokens bound a chunk; chunks are whole groups of 2 tokens."""
    assert built(tokens=tokens).chunk_tokens(FREE) == chunk


def test_sequences_share_a_chunk() -> None:
    assert built(tokens=32, batch=2).chunk_tokens(FREE) == 32
    assert built(tokens=33, batch=2).chunk_tokens(FREE) == 18


def test_a_bidirectional_model_has_one_chunk() -> None:
    assert built(workload="vit", tokens=60).chunk_tokens(FREE) == 60
    with pytest.raises(ValueError, match="needs all 66 tokens in one chunk, which holds 64"):
        built(workload="vit", tokens=66).chunk_tokens(FREE)


def test_the_baseline_leaves_room_for_scores() -> None:
    model = built(tokens=400, dataflow="gemm")
    chunk = model.chunk_tokens(FREE)
    sizes = plan_sizes(model.description, model.hidden_block, model.options.config)
    assert 1 <= chunk <= plan_activations(sizes, model.options.config).tokens
    image = model.image(context=400, step=(400 - chunk, chunk), throttle=FREE)
    assert image.manifest.step == (400 - chunk, chunk) and set(image.manifest.dataflow) == {"gemm"}


def test_the_program_of_tphs_serves_any_step() -> None:
    image = built().image(context=20, step=(0, 8), throttle=FREE)
    assert image.manifest.step is None and image.manifest.context == 20
