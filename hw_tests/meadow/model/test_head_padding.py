# SPDX-License-Identifier: Apache-2.0
"""Padding of heads to words, and the exponent of the words that heads share."""

from __future__ import annotations

import pytest

from hw_tests.models import family_description
from meadow.model.head_padding import attention_exponent, padded_head_dim


@pytest.mark.parametrize(
    ("family", "head_dim", "width", "padded"),
    [
        ("opt", 2, 16, 16),
        ("opt", 20, 16, 32),
        ("opt", 40, 16, 48),
        ("llama", 40, 16, 64),
        ("opt", 20, 32, 32),
        ("opt", 20, 64, 32),
        ("opt", 64, 64, 64),
        ("opt", 66, 64, 128),
    ],
)
def test_heads_are_padded_to_parts_of_a_word_or_to_words(
    family: str, head_dim: int, width: int, padded: int
) -> None:
    heads = 4 if family == "llama" else 2
    description = family_description(family, head_dim=head_dim, width=heads * head_dim)
    assert padded_head_dim(description, width) == padded
    assert attention_exponent(description, width) == (7 if padded < width else 0)
