# SPDX-License-Identifier: Apache-2.0
"""Places of heads: disjoint, aligned as one ATTEND for several heads needs them."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.meadow.compiler.family_models import describe
from meadow.compiler.lowering.heads import HeadLayout
from meadow.spec.config import named_config


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102-paper"])
@pytest.mark.parametrize("head_dim", [4, 16, 18, 40, 64, 100])
@pytest.mark.parametrize(("kv_heads", "group"), [(1, 1), (5, 1), (3, 2), (1, 7), (6, 3)])
def test_places_of_heads(name: str, head_dim: int, kv_heads: int, group: int) -> None:
    config = named_config(name)
    d = describe("llama", heads=kv_heads * group, kv_heads=kv_heads, head_dim=head_dim)
    heads = HeadLayout.of(d, config)
    w = config.width
    assert heads.padded >= head_dim and heads.blocks * heads.per_word * w >= heads.padded
    query = heads.query_channels.reshape(kv_heads, group, head_dim)
    key = heads.key_channels.reshape(kv_heads, head_dim)
    assert len(np.unique(query)) == query.size and query.max() < heads.query_words * w
    assert len(np.unique(key)) == key.size and key.max() < heads.key_words * w
    assert (np.diff(query, axis=2) == 1).all() and (np.diff(key, axis=1) == 1).all()
    # A head is within its words, at the column of its KV head, `blocks` words behind the one
    # before.
    assert (query[..., 0] % w == (key[:, :1] % w)).all()
    assert (np.diff(query[..., 0], axis=1) == heads.blocks * w).all()
    assert (query[..., 0] % w + min(heads.padded, w) <= w).all()
    for head in range(kv_heads):
        for member in range(group):
            place = heads.query_word(head, member) * w + heads.column(head)
            assert query[head, member, 0] == place
    if group == 1:
        assert (query.reshape(-1) == key.reshape(-1)).all()


@pytest.mark.parametrize(
    ("name", "head_dim", "exponent"),
    [("tiny", 4, 0), ("tiny", 40, 0), ("small", 16, 7), ("small", 18, 0), ("zcu102-paper", 32, 7)],
)
def test_words_that_heads_share_have_one_exponent(name: str, head_dim: int, exponent: int) -> None:
    d = describe("llama", heads=2, head_dim=head_dim)
    heads = HeadLayout.of(d, named_config(name))
    assert heads.exponent == exponent and (heads.per_word > 1) == (exponent > 0)


def test_rotary_words_are_a_power_of_two_that_fits_a_head() -> None:
    for head_dim, words in ((4, 1), (16, 2), (32, 4), (40, 8), (64, 8)):
        d = describe("llama", heads=1, head_dim=head_dim)
        assert HeadLayout.of(d, named_config("tiny")).rotary_words == max(2, words)
    d = describe("llama", heads=1, head_dim=32)
    assert HeadLayout.of(d, named_config("zcu102-paper")).rotary_words == 1


def test_rotary_rows() -> None:
    d = describe("llama", heads=1, head_dim=6)
    rotary_table = np.arange(1, 13, dtype=np.int16).reshape(2, 3, 2)
    rows = HeadLayout.of(d, named_config("small")).rotary_rows(rotary_table)
    padding = [0] * 10
    assert rows.tolist() == [
        [1, 2, 3, 4, 5, 6, *padding],
        [7, 8, 9, 10, 11, 12, *padding],
    ]
    rows = HeadLayout.of(d, named_config("zcu102-paper")).rotary_rows(rotary_table)
    assert rows[0].tolist() == [1, 2, 3, 4, 5, 6, *padding] * 2
