# SPDX-License-Identifier: Apache-2.0
"""Error figures: what they are on rows made for it, and what a plain cosine would have hidden."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.quantise.error_figures import ErrorFigures, Yardstick, far_tokens

ROWS = np.random.default_rng(salted(1)).standard_normal((200, 64))
NOISE = np.random.default_rng(salted(2)).standard_normal((200, 64))


def plain(want: np.ndarray, got: np.ndarray) -> float:
    """The least plain cosine of a row."""
    product = (want * got).sum(axis=1)
    return float((product / np.linalg.norm(want, axis=1) / np.linalg.norm(got, axis=1)).min())


def test_equal_rows_have_cosine_one_and_the_largest_ratio() -> None:
    assert Yardstick([ROWS]).figures([ROWS]) == ErrorFigures(1.0, 1.0, 120.0, 120.0)


def test_the_ratio_is_that_of_the_noise() -> None:
    figures = Yardstick([ROWS]).figures([ROWS + 0.1 * NOISE])
    assert figures.snr_db_median == pytest.approx(20, abs=0.5)
    assert figures.cosine_median == pytest.approx(1 / np.sqrt(1.01), abs=1e-3)


def test_parts_and_units_do_not_matter() -> None:
    noisy = ROWS + 0.3 * NOISE
    whole = Yardstick([ROWS]).figures([noisy])
    parts = Yardstick(np.split(ROWS, [7, 90])).figures(np.split(noisy / 0.02, [7, 90]), 0.02)
    assert parts == whole


def test_the_worst_figure_is_the_first_percentile_or_the_worst_of_few_tokens() -> None:
    cosine = np.linspace(0, 1, 1001)
    assert ErrorFigures.over(cosine, cosine).cosine_worst == 0.01
    assert ErrorFigures.over(cosine[500:600], cosine[500:600]).cosine_worst == 0.5
    assert ErrorFigures.over(cosine[-1:], cosine[-1:]) == ErrorFigures(1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("loud", ["channel", "constant part"])
def test_a_fault_that_a_plain_cosine_hides_is_seen(loud: str) -> None:
    """Half of the channels are lost; one huge channel, or what all tokens share, hides it."""
    huge = ROWS.copy()
    if loud == "channel":
        huge[:, 9] = 1000 * np.sign(huge[:, 9])
    else:
        huge += 50 * NOISE[0]
    broken = huge.copy()
    broken[:, 20:52] = huge[:, 20:52].mean(axis=0)
    assert plain(huge, broken) > 0.99
    assert Yardstick([huge]).figures([broken]).cosine_worst < 0.9


def test_a_fault_of_the_rows_near_zero_is_seen_although_it_is_nothing_beside_the_mean() -> None:
    rows = ROWS + 100
    rows[::50] -= 100
    broken = rows.copy()
    broken[::50] = NOISE[::50]
    centred = (rows - rows.mean(axis=0), broken - rows.mean(axis=0))
    assert plain(*centred) > 0.99
    assert Yardstick([rows]).figures([broken]).cosine_worst < 0.5


def test_rounding_of_silent_channels_is_no_fault() -> None:
    quiet = ROWS.copy()
    quiet[:, :8] *= 1e-6
    rounded = np.rint(quiet / 1e-3) * 1e-3
    assert Yardstick([quiet]).figures([rounded]).cosine_worst == 1.0


def test_what_a_softmax_does_not_see_counts_for_nothing_but_in_the_plain_view() -> None:
    shift = 0.2 * NOISE[:, :1]
    blind = Yardstick([ROWS], relative=True)
    assert blind.figures([ROWS + shift]).snr_db_median > 10
    turned = blind._turned(ROWS + shift)
    assert np.allclose(turned, blind._turned(ROWS))


def test_zeros_are_like_zeros_and_unlike_anything_else() -> None:
    zeros = np.zeros((5, 8))
    assert Yardstick([zeros]).figures([zeros]).cosine_worst == 1.0
    assert Yardstick([zeros]).figures([zeros + 1]) == ErrorFigures(0.0, 0.0, -120.0, -120.0)


def test_one_token_is_compared_as_it_is_unless_centred() -> None:
    row = ROWS[:1]
    figures = Yardstick([row], centred=False).figures([row + 0.1 * NOISE[:1]])
    assert figures.cosine_worst > 0.98


def test_a_sink_is_far_and_a_loud_channel_of_all_tokens_is_not() -> None:
    rows = ROWS.copy()
    assert not far_tokens(rows).any()
    rows[:, 3] += 1000
    assert not far_tokens(rows).any()
    rows[[0, 77], 5] = 900
    assert np.flatnonzero(far_tokens(rows)).tolist() == [0, 77]


def test_few_or_equal_tokens_have_no_sinks() -> None:
    assert not far_tokens(ROWS[:1]).any()
    assert not far_tokens(ROWS[:2]).any()
    assert not far_tokens(np.ones((9, 4))).any()
    assert not far_tokens(np.zeros((9, 4))).any()
