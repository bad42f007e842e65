# SPDX-License-Identifier: Apache-2.0
"""Steps of Q, K and V: what cancels does so exactly, and what is brought together costs less."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.quantise.head_steps import lifted, query_key_steps, value_steps
from meadow.spec.model import ModelDescription

RANDOM = np.random.default_rng(salted(41))
LLAMA = family_description("llama", width=32, heads=6, kv_heads=2, head_dim=8)
OPT = family_description("opt", width=24, heads=3, kv_heads=3, head_dim=8)


def rows(channels: int, *, loud: int | None = None) -> np.ndarray:
    found = RANDOM.normal(size=(200, channels)).astype(np.float32)
    if loud is not None:
        found[:, loud] *= 50
    return found


def held(values: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values / step), -127, 127) * step


@pytest.mark.parametrize("d", [LLAMA, OPT], ids=["llama", "opt"])
def test_factors_cancel_in_the_score(d: ModelDescription) -> None:
    q, k = query_key_steps(
        rows(d.heads * d.head_dim, loud=3), rows(d.kv_heads * d.head_dim, loud=5), d
    )
    queries = q.reshape(d.kv_heads, d.group_heads, d.head_dim)
    assert (queries == queries[:, :1]).all()  # of a group
    product = queries[:, 0] * k.reshape(d.kv_heads, d.head_dim)
    np.testing.assert_allclose(product, np.repeat(product[:, :1], d.head_dim, axis=1))


def test_channels_of_a_rotary_pair_share_their_step() -> None:
    q, k = query_key_steps(rows(48, loud=3), rows(16, loud=6), LLAMA)
    for steps in (q, k):
        pairs = steps.reshape(-1, 2)
        assert (pairs[:, 0] == pairs[:, 1]).all()
    q, k = query_key_steps(rows(24, loud=3), rows(24, loud=6), OPT)
    assert (k.reshape(-1, 2)[:, 0] != k.reshape(-1, 2)[:, 1]).any()


@pytest.mark.parametrize("d", [LLAMA, OPT], ids=["llama", "opt"])
def test_a_loud_channel_of_k_does_not_take_the_bits_of_the_others(d: ModelDescription) -> None:
    q, k = rows(d.heads * d.head_dim), rows(d.kv_heads * d.head_dim, loud=5)
    q_step, k_step = query_key_steps(q, k, d)
    one = np.abs(k[:, : d.head_dim]).max() / 127

    def score_error(q_steps: np.ndarray | float, k_steps: np.ndarray | float) -> float:
        e = d.head_dim
        exact = q[:, :e].astype(np.float64) @ k[:, :e].T
        rounded = held(q, np.broadcast_to(q_steps, q.shape[1:]))[:, :e] @ (
            held(k, np.broadcast_to(k_steps, k.shape[1:]))[:, :e].T
        )
        return float(np.square(rounded - exact).mean())

    assert score_error(q_step, k_step) < 0.5 * score_error(np.abs(q).max() / 127, one)


def test_a_loud_channel_of_v_is_worth_what_the_columns_of_o_make_of_it() -> None:
    v = rows(16, loud=5)
    o = RANDOM.normal(size=(32, 48))
    o.reshape(32, 2, 3, 8)[:, 0, :, 5] /= 50
    step = value_steps(v, o, LLAMA)
    one = np.repeat(np.abs(v).reshape(-1, 2, 8).max(axis=(0, 2)) / 127, 8)

    def error(steps: np.ndarray) -> float:
        difference = (held(v, steps) - v).reshape(-1, 2, 1, 8)
        return float(np.square(o @ np.repeat(difference, 3, axis=2).reshape(-1, 48).T).mean())

    assert error(step) < 0.02 * error(one)
    assert step[5] > 20 * np.median(step[:8])


def test_few_large_values_are_clipped() -> None:
    v = rows(16)
    v[0, 0] = 12
    step = value_steps(v, np.ones((32, 48)), LLAMA).reshape(2, 8)
    assert step[0, 0] < 12 / 127


def test_silent_heads_and_channels_have_steps() -> None:
    q, k, v = rows(48), rows(16), rows(16)
    q[:, :24], k[:, :8], k[:, 9], v[:, :8] = 0, 0, 0, 0
    steps = [*query_key_steps(q, k, LLAMA), value_steps(v, np.zeros((32, 48)), LLAMA)]
    assert all(np.isfinite(step).all() and (step > 0).all() for step in steps)
    assert lifted(np.array([0.0, 2.0])).tolist() == [2e-4, 2.0]
    assert lifted(np.zeros(2)).tolist() == [1.0, 1.0]
