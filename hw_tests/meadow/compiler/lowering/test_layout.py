# SPDX-License-Identifier: Apache-2.0
"""Padded sizes, hidden blocks and chunks of models that MEADOW is meant for, and of small odd
ones.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw_tests.meadow.compiler.family_models import describe
from meadow.compiler.lowering.layout import (
    CompileError,
    choose_hidden_block,
    plan_activations,
    plan_sizes,
)
from meadow.spec.config import named_config

_REAL = {
    "opt-125m": ("opt", dict(heads=12, head_dim=64, hidden=3072)),
    "opt-1.3b": ("opt", dict(heads=32, head_dim=64, hidden=8192)),
    "tinyllama": ("llama", dict(heads=32, kv_heads=4, head_dim=64, hidden=5632)),
    "smollm2": ("llama", dict(heads=9, kv_heads=3, head_dim=64, hidden=1536)),
    "deit-s": ("vit", dict(heads=6, head_dim=64, hidden=1536)),
    "minilm": ("bert", dict(heads=12, head_dim=32, hidden=1536)),
}
"""Family and sizes."""


@pytest.mark.parametrize(
    ("name", "plans"),
    [
        (
            "zcu102-paper",
            [(768, 640), (2048, 256), (960, 240), (512, 640), (1536, 640), (1536, 640)],
        ),
        ("zcu102", [(768, 512), (2048, 192), (960, 176), (512, 544), (768, 640), (768, 640)]),
        ("kv260", [(1536, 320), (2048, 208), (960, 200), (1536, 320), (1536, 320), (1536, 320)]),
    ],
)
def test_hidden_blocks_and_chunks_of_real_models(name: str, plans: list[tuple[int, int]]) -> None:
    config = named_config(name)
    found = []
    for family, sizes in _REAL.values():
        d = describe(family, **sizes)
        block = choose_hidden_block(d, config)
        plan = plan_activations(plan_sizes(d, block, config), config)
        assert plan.words <= config.activation_words
        found.append((block, plan.tokens))
    assert found == plans


@pytest.mark.parametrize("words", [256 * k for k in (1, 3, 5, 7, 13, 21, 31, 32)])
def test_a_chunk_is_as_large_as_any_memory_allows(words: int) -> None:
    """No row lies beyond the end, and one group of tokens more would."""
    config = replace(named_config("tiny"), activation_words=words, groups=256)
    d = describe("opt", heads=2, head_dim=32, hidden=96)
    sizes = plan_sizes(d, 96, config)
    plan = plan_activations(sizes, config)
    row = sizes.row // config.width
    assert plan.words == plan.tokens * row <= words
    assert plan.words + config.lanes * row > words or plan.tokens == config.chunk_tokens
    for area, length in ((plan.residual, 8), (plan.hidden, 6), (plan.logits, 2)):
        assert area.base + (plan.tokens - 1) * area.stride + length <= words


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102-paper"])
@pytest.mark.parametrize("hidden", [1, 33, 500, 5000])
@pytest.mark.parametrize("words", [1, 4])
def test_a_chosen_block_leaves_as_much_room_as_any_of_its_size(
    name: str, hidden: int, words: int
) -> None:
    config = named_config(name)
    config = replace(config, activation_words=config.activation_words // words)
    d = describe("opt", heads=5, head_dim=20, hidden=hidden)
    block = choose_hidden_block(d, config)
    assert 1 <= block <= hidden and (block == hidden or block % config.width == 0)
    tokens = plan_activations(plan_sizes(d, block, config), config).tokens
    most = plan_activations(plan_sizes(d, config.width, config), config).tokens
    assert tokens == most or block <= 512
    blocks = -(-hidden // block)
    assert blocks == 1 or hidden - (blocks - 1) * block > block - blocks * config.width


def test_a_block_of_512_is_given_up_where_it_leaves_no_room() -> None:
    config = replace(named_config("tiny"), activation_words=256)
    d = describe("opt", heads=8, head_dim=64, hidden=2048)
    assert choose_hidden_block(d, config) == 512
    config = replace(config, norm_channels=1024)
    d = describe("opt", heads=16, head_dim=36, hidden=2048)
    assert d.width == 576
    # 108 words of a token besides the block, 48 of Q, whose heads are padded to 48.
    assert choose_hidden_block(d, config) == 688


def test_rotary_words_are_room_of_their_own() -> None:
    config = named_config("tiny")
    llama = describe("llama", heads=2, head_dim=16)
    plan = plan_activations(plan_sizes(llama, 64, config), config)
    assert plan.rotary.stride == 2
    assert plan.rotary.base + plan.tokens * 2 == plan.words
    assert plan.hidden.base + plan.tokens * plan.hidden.stride == plan.rotary.base
    opt = plan_sizes(describe("opt", heads=2, head_dim=16), 64, config)
    assert opt.rotary == 0 and not opt.gated and opt.hidden_row == 64
    # A hidden block of a gated model takes twice the room until it is multiplied.
    sizes = plan_sizes(llama, 64, config)
    assert sizes.gated and sizes.hidden == (64,) and sizes.hidden_row == 128
    assert sizes.row == opt.row + 64 + 32 and plan.hidden.stride == 8


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102-paper"])
@pytest.mark.parametrize("hidden", [1, 33, 500, 5000])
def test_a_chosen_block_of_a_gated_model_leaves_as_much_room(name: str, hidden: int) -> None:
    config = named_config(name)
    d = describe("llama", heads=6, kv_heads=2, head_dim=20, hidden=hidden)
    block = choose_hidden_block(d, config)
    assert 1 <= block <= hidden and (block == hidden or block % config.width == 0)
    tokens = plan_activations(plan_sizes(d, block, config), config).tokens
    most = plan_activations(plan_sizes(d, config.width, config), config).tokens
    assert tokens == most or block <= 512


def test_a_matrix_has_no_more_inputs_than_an_accumulator_can_hold() -> None:
    config = replace(named_config("zcu102-paper"), activation_words=1 << 18)
    d = describe("opt", heads=2, head_dim=64, hidden=20000)
    assert choose_hidden_block(d, config) == 10048
    message = r"padded hidden_block must be at most inputs \(15552\), not 15616"
    with pytest.raises(CompileError, match=message):
        plan_sizes(d, 15553, config)
    d = describe("llama", heads=300, kv_heads=100, head_dim=64, width=128)
    with pytest.raises(CompileError, match=r"all query heads must be at most inputs \(15552\)"):
        plan_sizes(d, 512, config)


def test_sizes_without_a_head_have_no_vocabulary() -> None:
    config = named_config("tiny")
    assert plan_sizes(describe("bert", heads=2, head_dim=16), 64, config).vocabulary == 0
    assert plan_sizes(describe("vit", heads=2, head_dim=16), 64, config).vocabulary == 64
