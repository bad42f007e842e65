# SPDX-License-Identifier: Apache-2.0
"""Activation tables against the functions, at inputs that fall into every entry."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meadow.compiler.lowering.activation import activation_table
from meadow.golden.activations import gelu, relu, silu
from meadow.spec.numerics import table_index

FUNCTIONS = {"gelu": gelu, "silu": silu, "relu": relu}


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize(("reach", "top"), [(8.0, 8.0), (20.0, 3.0), (0.5, 0.5)])
def test_an_entry_is_within_half_a_unit_and_half_a_bucket(
    kind: str, reach: float, top: float
) -> None:
    input_scale, output_scale = reach / 32768, top / 16256
    table = activation_table(kind, input_scale, output_scale)
    assert table.dtype == np.int16 and table.shape == (2048,)
    inputs = np.arange(-(1 << 15), 1 << 15)
    got = table[[table_index(int(x)) for x in inputs]]
    exact = np.clip(FUNCTIONS[kind](inputs * input_scale) / output_scale, -32767, 32767)
    steepest = 1.13 * 16 * input_scale / output_scale
    assert np.abs(got - exact).max() <= 0.5 + steepest + 1e-3
    assert (table >= -32767).all()


def test_entries_are_those_at_the_middle_of_their_inputs() -> None:
    table = activation_table("gelu", 1 / 4096, 1 / 8192)
    for entry in (0, 900, 1023, 1024, 1100, 1500, 2047):
        middle = (entry * 32 - 32768 + 15.5) / 4096
        value = middle * 0.5 * (1 + math.erf(middle / math.sqrt(2))) * 8192
        assert table[entry] == min(32767, round(value))


def test_refused() -> None:
    with pytest.raises(ValueError, match="an activation must be one of relu, gelu, silu, not 'x'"):
        activation_table("x", 1, 1)
    with pytest.raises(ValueError, match="input_scale must be above 0 and finite, not 0"):
        activation_table("gelu", 0, 1)
    with pytest.raises(ValueError, match="output_scale must be above 0 and finite, not inf"):
        activation_table("gelu", 1, math.inf)
