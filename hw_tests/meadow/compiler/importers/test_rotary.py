# SPDX-License-Identifier: Apache-2.0
"""Divisors of rotary frequencies and the order of rotary pairs, each against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.rotary import neighbouring_pairs, rotary_divisors
from meadow.golden.tiers.float_operators import rotary_angles, rotate

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def test_turning_neighbours_is_turning_halves_in_another_order() -> None:
    random = np.random.default_rng(salted(1))
    rows = random.normal(size=(3 * 8, 5))
    x = random.normal(size=(4, 5))
    angles = rotary_angles(np.arange(4), 8, 100.0)
    ours = rotate(x @ neighbouring_pairs(rows, 8).T, angles)
    y = (x @ rows.T).reshape(4, 3, 2, 4)
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    theirs = np.stack(
        [y[:, :, 0] * cosine - y[:, :, 1] * sine, y[:, :, 1] * cosine + y[:, :, 0] * sine], axis=-1
    )
    np.testing.assert_allclose(ours, theirs.reshape(4, 24), atol=1e-12)


def test_llama3_keeps_high_frequencies_divides_low_ones_and_blends_between() -> None:
    base, head_dim = 500_000.0, 128
    divisors = rotary_divisors(LLAMA3, head_dim, base)
    for pair, divisor in enumerate(divisors):
        frequency = base ** (-2 * pair / head_dim)
        wavelength = 2 * math.pi / frequency
        if wavelength < 8192 / 4.0:
            expected = frequency
        elif wavelength > 8192 / 1.0:
            expected = frequency / 8.0
        else:
            smooth = (8192 / wavelength - 1.0) / (4.0 - 1.0)
            expected = (1 - smooth) * frequency / 8.0 + smooth * frequency
        assert frequency / divisor == pytest.approx(expected, rel=1e-12)
    assert divisors[0] == 1 and divisors[-1] == pytest.approx(8)
    assert len({round(value, 6) for value in divisors}) > 4


def test_angles_are_divided() -> None:
    plain = rotary_angles(np.arange(5), 4, 100.0)
    scaled = rotary_angles(np.arange(5), 4, 100.0, (2.0, 8.0))
    np.testing.assert_allclose(scaled, plain / [2.0, 8.0])


def test_scaling_by_one_or_by_nothing_is_none() -> None:
    assert rotary_divisors({}, 8, 100.0) == ()
    assert rotary_divisors({"type": "default", "factor": 3}, 8, 100.0) == ()
    assert rotary_divisors({"type": "linear", "factor": 1}, 8, 100.0) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_type": "longrope"}, "must be one of default, linear, llama3, not 'longrope'"),
        ({"rope_type": None}, "must be one of default, linear, llama3, not None"),
        ({"factor": -1}, "factor of the rotary scaling must be above 0, not -1"),
        ({"factor": True}, "factor of the rotary scaling must be above 0, not True"),
        ({"high_freq_factor": float("nan")}, "high_freq_factor of the rotary scaling .* not nan"),
        ({"low_freq_factor": 4.0}, "low_freq_factor must be below high_freq_factor 4.0, not 4.0"),
    ],
)
def test_what_is_no_scaling_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        rotary_divisors(LLAMA3 | change, 128, 1e4)
