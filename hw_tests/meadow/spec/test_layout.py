# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meadow.spec.layout import BitField, pack_fields, unpack_fields

FIELDS = (BitField("a", 3, ""), BitField("b", 5, "", signed=True), BitField("c", 9, ""))


def test_first_field_is_lowest_and_signed_is_twos_complement() -> None:
    assert pack_fields(FIELDS, {"a": 5, "b": -2, "c": 257}, "x") == 5 | 0b11110 << 3 | 257 << 8
    assert pack_fields(FIELDS, {}, "x") == 0


@given(st.integers(0, 7), st.integers(-16, 15), st.integers(0, 511))
def test_unpack_is_the_inverse(a: int, b: int, c: int) -> None:
    values = {"a": a, "b": b, "c": c}
    assert unpack_fields(FIELDS, pack_fields(FIELDS, values, "x")) == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 8}, "thing field a must be in 0..7, not 8"),
        ({"a": -1}, "thing field a must be in 0..7, not -1"),
        ({"b": 16}, "thing field b must be in -16..15, not 16"),
        ({"b": -17}, "thing field b must be in -16..15, not -17"),
        ({"d": 0, "e": 0}, "thing has no field d, e"),
    ],
)
def test_errors(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack_fields(FIELDS, values, "thing")
