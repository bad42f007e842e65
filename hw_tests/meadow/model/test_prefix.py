# SPDX-License-Identifier: Apache-2.0
"""Rules of a prefix, alone and in its model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw_tests.models import family_description, random_model, random_prefix
from meadow.model.prefix import QuantisedPrefix

MODEL = random_model(family_description("llama"))
PREFIX = random_prefix(MODEL.description, (1, 19, 1), seed=2)


def test_a_sequence_starts_behind_it() -> None:
    assert len(PREFIX) == replace(MODEL, prefix=PREFIX).start == 3
    assert MODEL.start == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": ()}, "a prefix must have at least 1 token, not 0"),
        ({"keys": PREFIX.keys.astype(np.int16)}, "keys of the prefix must be int8"),
        ({"values": PREFIX.values[:, :, :2]}, r"values .* must be int8 \[2, 2, 3, 8\], not int8 "),
        ({"values": np.full_like(PREFIX.values, -128)}, "values of the prefix must be within -127"),
    ],
)
def test_parts_of_a_prefix(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PREFIX, **change)


def whole(prefix: QuantisedPrefix, count: int) -> QuantisedPrefix:
    """As many tokens, the rows again and again."""
    keys, values = (rows.repeat(16, axis=2)[:, :, :count] for rows in (prefix.keys, prefix.values))
    return QuantisedPrefix(tokens=(1,) * count, keys=keys, values=values)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (replace(PREFIX, tokens=(1, 20, 1)), r"a token of the prefix .* in 0..19, not 20"),
        (
            replace(PREFIX, tokens=(1, 2)),
            r"keys of the prefix must be int8 \[2, 2, 2, 8\], not int8",
        ),
        (whole(PREFIX, 48), "a prefix must leave room in the model's 48 positions, not take 48"),
    ],
)
def test_a_prefix_of_another_model(prefix: QuantisedPrefix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(MODEL, prefix=prefix)
    assert replace(MODEL, prefix=whole(PREFIX, 47)).start == 47


def test_a_model_that_is_not_causal_has_none() -> None:
    model = random_model(family_description("vit"))
    with pytest.raises(ValueError, match="a model that is not causal must have no prefix"):
        replace(model, prefix=random_prefix(model.description, (1,), seed=2))
