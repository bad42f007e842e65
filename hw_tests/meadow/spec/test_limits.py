# SPDX-License-Identifier: Apache-2.0
"""Requests that fit, and those that do not, which the message names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw_tests.models import family_description
from meadow.spec.limits import Limits

LIMITS = Limits(model=family_description("opt", vocabulary=100), context=20, chunk_tokens=8)


def test_what_fits_is_taken() -> None:
    LIMITS.check_generation([0, 99] * 10, 1000, chunk=8)
    LIMITS.check_prompt(range(5), position=15, chunk=1)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([], {}, "a prompt must have at least 1 token, not 0"),
        ([1] * 21, {}, "the prompt has 21 tokens, the context of this image holds 20 more of 20"),
        ([1] * 6, {"position": 15}, "the prompt has 6 tokens, .* holds 5 more of 20"),
        ([1], {"chunk": 0}, r"a chunk of this image holds 1\.\.8 tokens, not 0"),
        ([1], {"chunk": 9}, r"a chunk of this image holds 1\.\.8 tokens, not 9"),
        ([1, 100], {}, r"a token must be in 0\.\.99, not 100"),
        ([-1], {}, r"a token must be in 0\.\.99, not -1"),
    ],
)
def test_what_does_not_fit_is_named(
    prompt: list[int], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LIMITS.check_prompt(prompt, **options)
    with pytest.raises(ValueError, match=message):
        LIMITS.check_generation(prompt, 1, **options)


def test_a_prompt_loses_the_prefix_once_at_the_start() -> None:
    limits = replace(LIMITS, prefix=(7, 8))
    assert limits.start == 2 and LIMITS.start == 0
    for prompt, own in (
        ([7, 8, 1], [1]),
        ([7, 8, 7, 8], [7, 8]),
        ([7, 1], [7, 1]),
        ([8, 7, 1], [8, 7, 1]),
        ([7], [7]),
        ([7, 8], []),
    ):
        assert limits.own_tokens(prompt) == limits.own_tokens(prompt, position=2) == own
        assert limits.own_tokens(prompt, position=3) == prompt
        assert LIMITS.own_tokens(prompt) == prompt


def test_the_context_counts_the_prefix() -> None:
    limits = replace(LIMITS, prefix=(7, 8))
    limits.check_generation([7, 8] + [1] * 18, 1)
    limits.check_prompt([1] * 18)
    with pytest.raises(ValueError, match="the prompt has 19 tokens, .* holds 18 more of 20"):
        limits.check_prompt([7, 8] + [1] * 19)
    with pytest.raises(ValueError, match=r"at least 1 token beside the prefix \[7, 8\], which"):
        limits.check_prompt([7, 8])
    limits.check_prompt([7, 8], position=3)


def test_generation_needs_tokens_to_generate_and_a_model_that_does() -> None:
    with pytest.raises(ValueError, match="max_tokens must be at least 1, not 0"):
        LIMITS.check_generation([1], 0)
    encoder = replace(LIMITS, model=family_description("bert"))
    with pytest.raises(ValueError, match="a model of architecture 'bert' generates no tokens"):
        encoder.check_generation([1], 1)
    with pytest.raises(ValueError, match="must be one chunk: it holds 8 tokens, not 9"):
        encoder.check_prompt([1] * 9)
