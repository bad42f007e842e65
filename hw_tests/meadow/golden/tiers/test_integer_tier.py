# SPDX-License-Identifier: Apache-2.0
"""The integer tier: its parts against float formulas, the whole against the bit-true tier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.opt_models import opt_description, random_checkpoint
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.calibrate import calibrate
from meadow.compiler.quantise.quantise import quantise
from meadow.compiler.synthetic import synthetic_model
from meadow.golden import numerics
from meadow.golden.tiers import bit_true, float_tier
from meadow.golden.tiers.float_tier import FloatModel
from meadow.golden.tiers.integer_tier import IntegerModel, attention, linear, norm
from meadow.model.prefix import QuantisedPrefix
from meadow.model.quantised import QuantisedLinear, QuantisedModel, QuantisedNorm
from meadow.spec.config import named_config
from meadow.spec.families import FAMILIES

TINY = named_config("tiny")


def _checkpoint(**sizes: int) -> Checkpoint:
    """A random decoder of OPT's form with unit activations and heavy-tailed weights."""
    values = {"layers": 2, "width": 64, "heads": 4, "kv_heads": 4, "head_dim": 16, "hidden": 160}
    description = opt_description(
        **(values | sizes),
        vocabulary=256,
        max_positions=96,
    )
    return random_checkpoint(description, seed=3)


@pytest.fixture(scope="module", name="pair")
def _pair() -> tuple[Checkpoint, QuantisedModel]:
    checkpoint = _checkpoint()
    random = np.random.default_rng(salted(11))
    statistics = calibrate(checkpoint, [random.integers(0, 256, 96) for _ in range(12)])
    return checkpoint, quantise(checkpoint, statistics, hidden_block=60)


TOKENS = np.random.default_rng(salted(12)).integers(0, 256, 90)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative Frobenius distance of a from b."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("family", ["opt", "llama"])
def test_a_prefix_is_what_its_tokens_would_have_left(family: str) -> None:
    model = random_model(family_description(family))
    description, tokens = model.description, np.arange(12) % 20
    rows: dict[str, np.ndarray] = {}
    whole = IntegerModel(model, width=TINY.width).forward(
        tokens, observe=lambda site, at: rows.update({site: at})
    )
    keys, values = (
        np.stack(
            [
                rows[f"layers.{index}.{part}_out"][:3]
                .reshape(3, description.kv_heads, description.head_dim)
                .swapaxes(0, 1)
                for index in range(description.layers)
            ]
        ).astype(np.int8)
        for part in "kv"
    )
    prefix = QuantisedPrefix(tokens=(0, 1, 2), keys=keys, values=values)
    behind = IntegerModel(replace(model, prefix=prefix), width=TINY.width).forward(tokens[3:])
    assert np.array_equal(behind, whole[3:])


def _unit(words: np.ndarray) -> np.ndarray:
    """2^e of the words of 16 channels that stand for these numbers [n, c], or twice as much: one
    that an outlier's rounding gives a larger exponent."""
    exponents = numerics.word_exponent(words.reshape(len(words), -1, 16))
    return np.repeat(1 << (exponents + 1), 16, axis=1)


def test_tiers_agree(pair: tuple[Checkpoint, QuantisedModel]) -> None:
    checkpoint, model = pair
    real = FloatModel(checkpoint.description, checkpoint.tensors).forward(TOKENS)
    integer = IntegerModel(model, width=TINY.width).forward(TOKENS)
    hardware = bit_true.BitTrueModel(model, TINY).forward(TOKENS)
    assert integer.dtype == np.int16
    assert _distance(hardware, integer) < 0.05
    assert _distance(integer * model.logits_scale, real) < 0.06
    assert _distance(hardware * model.logits_scale, real) < 0.06
    agreement = np.mean(hardware.argmax(axis=1) == integer.argmax(axis=1))
    assert agreement >= 0.9


def test_first_layer_is_within_one_unit_of_the_bit_true_tier(
    pair: tuple[Checkpoint, QuantisedModel],
) -> None:
    """Before rounding differences spread, the two tiers differ by at most one unit of their
    words."""
    _, model = pair
    integer: dict[str, np.ndarray] = {}
    hardware: dict[str, np.ndarray] = {}
    IntegerModel(model, width=TINY.width).forward(TOKENS, observe=integer.__setitem__)
    bit_true.BitTrueModel(model, TINY).forward(TOKENS, observe=hardware.__setitem__)
    assert list(integer) == list(hardware)
    assert np.array_equal(integer["embedding"], hardware["embedding"])
    for site in ("qkv_in", "q_out", "k_out", "v_out"):
        name = f"layers.0.{site}"
        difference = np.abs(integer[name] - hardware[name].astype(np.int64))
        unit = _unit(hardware[name]) if site == "qkv_in" else 1
        assert (difference <= unit).all(), name
        assert np.mean(difference / unit) < 0.05, name
        assert len(np.unique(hardware[name])) > 100, name


def test_linear_equals_the_bit_true_one() -> None:
    random = np.random.default_rng(salted(1))
    matrix = QuantisedLinear(
        weight=random.integers(-127, 128, (30, 2000)).astype(np.int8),
        bias=random.integers(-(2**24), 2**24, 30).astype(np.int32),
        multiplier=random.integers(0, 1 << 16, 30).astype(np.uint16),
        shift=random.integers(22, 34, 30).astype(np.uint8),
    )
    x = random.integers(-127, 128, (7, 2000)).astype(np.int8)
    for bits in (8, 16):
        assert np.array_equal(linear(x, matrix, bits), bit_true.linear(x, matrix, bits=bits))


def test_norm_is_the_rounded_formula() -> None:
    random = np.random.default_rng(salted(2))
    channels, fraction = 48, 17
    weight, bias = random.uniform(-1, 1, channels), random.uniform(-1, 1, channels)
    step = 1 / 40
    parameters = QuantisedNorm(
        gain=np.rint(weight / step * channels / 2**fraction * 2**20).astype(np.int16),
        offset=np.rint(bias / step * 2**8).astype(np.int16),
        epsilon=channels**2 * 4,
        mean_multiplier=round(16 / channels * 2**17),
        mean_shift=17,
        norm_shift=19 - fraction,
        offset_shift=12,
        output_shift=20,
    )
    rows = random.integers(-20000, 20000, (20, channels)).astype(np.int16)
    want = float_tier.layer_norm(rows, weight, bias, epsilon=4.0) / step
    assert np.abs(norm(rows, parameters) - want).max() < 0.52
    difference = norm(rows, parameters) - bit_true.norm(rows, parameters).astype(np.int64)
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.02


@pytest.mark.parametrize("probability_bits", [8, 12])
def test_attention_is_near_the_float_formula(probability_bits: int) -> None:
    random = np.random.default_rng(salted(4))
    query, keys, values = (random.integers(-127, 128, (60, 16)) for _ in range(3))
    got = attention(
        query,
        keys,
        values,
        probability_bits=probability_bits,
        score_multiplier=1 << 15,
        score_shift=19,
        output_multiplier=1 << 15,
        output_shift=14,
        output_bits=8,
    )
    scores = np.log(2) / 256 / 16
    want = float_tier.attention(query[None] * scores, keys[None], values[None])
    assert _distance(got, want) < {8: 0.03, 12: 0.015}[probability_bits]


def test_refused_probability_bits(pair: tuple[Checkpoint, QuantisedModel]) -> None:
    with pytest.raises(ValueError, match="probability_bits must be 1 to 16, not 0"):
        IntegerModel(pair[1], width=16, probability_bits=0)


def _both(model: QuantisedModel) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Sites and result (as "end") of the integer tier and of the bit-true tier."""
    integer: dict[str, np.ndarray] = {}
    hardware: dict[str, np.ndarray] = {}
    tokens = np.random.default_rng(salted(3)).integers(0, model.description.vocabulary, 40)
    integer["end"] = IntegerModel(model, width=TINY.width).forward(
        tokens, observe=integer.__setitem__
    )
    tier = bit_true.BitTrueModel(model, TINY)
    hardware["end"] = tier.forward(tokens, observe=hardware.__setitem__)
    return integer, hardware


@pytest.mark.parametrize("architecture", FAMILIES)
def test_every_family_is_near_the_bit_true_tier(architecture: str) -> None:
    """All of a layer's sites up to attention, one unit of a word apart at most; the end is alike."""
    kv_heads = 2 if FAMILIES[architecture].grouped_keys else 4
    sizes = {"width": 64, "heads": 4, "kv_heads": kv_heads, "head_dim": 16, "hidden": 96}
    description = family_description(architecture, **sizes)
    integer, hardware = _both(synthetic_model(description, hidden_block=40, seed=salted(2)))
    assert list(integer) == list(hardware)
    assert integer["end"].dtype == hardware["end"].dtype == np.int16
    for site in ("qkv_in", "v_out"):
        name = f"layers.0.{site}"
        difference = np.abs(integer[name] - hardware[name].astype(np.int64))
        unit = _unit(hardware[name]) if site == "qkv_in" else 1
        assert (difference <= unit).all() and len(np.unique(hardware[name])) > 50, name
    assert _distance(hardware["end"], integer["end"]) < 0.05


@pytest.mark.parametrize("architecture", FAMILIES)
def test_sites_have_the_types_of_the_bit_true_tier(architecture: str) -> None:
    """With integers that use their whole range, and saturate."""
    integer, hardware = _both(random_model(family_description(architecture)))
    assert list(integer) == list(hardware)
    for name, array in hardware.items():
        limits = np.iinfo(array.dtype)
        assert integer[name].shape == array.shape, name
        assert limits.min <= integer[name].min() and integer[name].max() <= limits.max, name


def test_a_norm_without_a_second_shift_has_no_residual(
    pair: tuple[Checkpoint, QuantisedModel],
) -> None:
    with pytest.raises(ValueError, match="a norm without residual_shift does not replace"):
        norm(np.zeros((1, 64), np.int16), pair[1].layers[0].mlp_norm, as_residual=True)
