# SPDX-License-Identifier: Apache-2.0
"""Scales as multipliers and shifts: known values, precision, and what no multiplier holds."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.quantise.scales import scale_parts


@pytest.mark.parametrize(
    ("value", "multiplier", "shift"),
    [
        (0.0, 0, 1),
        (1.0, 32768, 15),
        (0.75, 49152, 16),
        (32767.5, 65535, 1),
        (2.0**-32, 32768, 47),
        (2.0**-40, 128, 47),
        (2.0**-49, 0, 1),
        (1 - 2.0**-20, 32768, 15),
    ],
)
def test_scale_parts(value: float, multiplier: int, shift: int) -> None:
    got = scale_parts(np.array([value]), "x")
    assert (got[0].tolist(), got[1].tolist()) == ([multiplier], [shift])
    assert got[0].dtype == np.uint16 and got[1].dtype == np.uint8


def test_scale_parts_is_normalised_and_close() -> None:
    values = 2.0 ** np.random.default_rng(salted(0)).uniform(-32, 14.9, 5000)
    multiplier, shift = scale_parts(values, "x")
    assert multiplier.min() >= 1 << 15
    assert shift.min() == 1 and shift.max() == 47
    assert np.abs(multiplier / 2.0**shift / values - 1).max() <= 2.0**-16


@pytest.mark.parametrize("value", [32768.0, -1.0, np.inf, np.nan])
def test_scale_parts_refuses(value: float) -> None:
    with pytest.raises(ValueError, match=rf"scale of layers.3.fc1 must be .*, not {value}"):
        scale_parts(np.array([1.0, value]), "layers.3.fc1")
