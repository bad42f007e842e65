# SPDX-License-Identifier: Apache-2.0
"""The bit-true tier against scalar arithmetic, and its independence of everything but W and H."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.opt_models import opt_description
from meadow.golden.bit_true import (
    BitTrueModel,
    KeyValueCache,
    accumulate,
    add_residual,
    attend,
    linear,
    norm,
)
from meadow.golden.quantised import (
    QuantisedLayer,
    QuantisedLinear,
    QuantisedModel,
    QuantisedNorm,
    hidden_slices,
)
from meadow.spec import numerics as scalar
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.model import ModelDescription

DESCRIPTION = opt_description(
    layers=2,
    width=16,
    heads=2,
    head_dim=8,
    hidden=24,
    vocabulary=20,
    max_positions=48,
    bos_token=1,
)
TINY = named_config("tiny")
TOKENS = np.random.default_rng(5).integers(0, DESCRIPTION.vocabulary, 40)


def _linear(
    random: np.random.Generator, outputs: int, inputs: int, *, shift: int, bias: bool
) -> QuantisedLinear:
    return QuantisedLinear(
        weight=random.integers(-127, 128, (outputs, inputs)).astype(np.int8),
        bias=random.integers(-20000, 20000, outputs).astype(np.int32) * bias,
        multiplier=random.integers(1 << 15, 1 << 16, outputs).astype(np.uint16),
        shift=random.integers(shift, shift + 3, outputs).astype(np.uint8),
    )


def _norm(random: np.random.Generator, channels: int) -> QuantisedNorm:
    return QuantisedNorm(
        gain=random.integers(-20000, 20000, channels).astype(np.int16),
        offset=random.integers(-20000, 20000, channels).astype(np.int16),
        epsilon=1000,
        mean_multiplier=1 << 15,
        mean_shift=15,
        norm_shift=3,
        offset_shift=7,
        output_shift=21,
    )


def _model(d: ModelDescription = DESCRIPTION, hidden_block: int = 10) -> QuantisedModel:
    """Integers drawn so that every site uses its range and sometimes saturates."""
    random = np.random.default_rng(1)
    layers = []
    for _ in range(d.layers):
        blocks = hidden_slices(d.hidden, hidden_block)
        layers.append(
            QuantisedLayer(
                attention_norm=_norm(random, d.width),
                q=_linear(random, d.width, d.width, shift=23, bias=True),
                k=_linear(random, d.width, d.width, shift=23, bias=True),
                v=_linear(random, d.width, d.width, shift=23, bias=True),
                o=_linear(random, d.width, d.width, shift=17, bias=True),
                mlp_norm=_norm(random, d.width),
                fc1=_linear(random, d.hidden, d.width, shift=23, bias=True),
                fc2=tuple(
                    _linear(random, d.width, b.stop - b.start, shift=17, bias=index == 0)
                    for index, b in enumerate(blocks)
                ),
                score_multiplier=(40000, 50000),
                score_shift=(20, 18),
                output_multiplier=(60000, 33000),
                output_shift=(14, 13),
            )
        )
    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        layers=tuple(layers),
        final_norm=_norm(random, d.width),
        head=_linear(random, d.vocabulary, d.width, shift=18, bias=False),
        embed_tokens=random.integers(-9000, 9000, (d.vocabulary, d.width)).astype(np.int16),
        embed_positions=random.integers(-9000, 9000, (d.max_positions, d.width)).astype(np.int16),
        residual_scale=1e-3,
        logits_scale=1e-3,
    )


def _scalar_linear(x: list[int], matrix: QuantisedLinear, bits: int) -> list[int]:
    result = []
    for channel in range(matrix.outputs):
        total = sum(a * b for a, b in zip(x, matrix.weight[channel].tolist(), strict=True))
        result.append(
            scalar.requantise(
                total + int(matrix.bias[channel]),
                int(matrix.multiplier[channel]),
                int(matrix.shift[channel]),
                bits,
            )
        )
    return result


def _scalar_norm(x: list[int], parameters: QuantisedNorm) -> list[int]:
    fields = dataclasses.asdict(parameters)
    gain, offset = fields.pop("gain").tolist(), fields.pop("offset").tolist()
    return scalar.layer_norm_row(x, gain, offset, channels=len(x), **fields)


def _scalar_attend(
    query: list[int],
    keys: list[list[int]],
    values: list[list[int]],
    visible: int,
    *,
    width: int,
    probability_bits: int,
    score: tuple[int, int],
    output: tuple[int, int],
) -> list[int]:
    """One query row that sees keys 0 .. visible-1, block by block as the specification says."""
    maximum, total, mixed = None, 0, [0] * len(values[0])
    for start in range(0, len(keys), width):
        seen = range(start, min(start + width, visible))
        if not seen:
            continue
        scores = [
            scalar.requantise(sum(a * b for a, b in zip(query, keys[j], strict=True)), *score, 16)
            for j in seen
        ]
        block = scalar.block_maximum(max(scores))
        larger = block if maximum is None else max(maximum, block)
        delta = 0 if maximum is None else min(larger - maximum, scalar.RESCALE_LIMIT)
        maximum = larger
        total = scalar.rounding_shift(total, delta)
        mixed = [scalar.rounding_shift(value, delta) for value in mixed]
        for j, z in zip(seen, scores, strict=True):
            p = scalar.probability(z, maximum, probability_bits)
            total += p
            mixed = [o + p * v for o, v in zip(mixed, values[j], strict=True)]
    multiplier, shift = scalar.output_scale(total, *output)
    return [scalar.requantise(value, multiplier, shift, 8) for value in mixed]


def _scalar_logits(
    model: QuantisedModel, tokens: list[int], config: AcceleratorConfig
) -> np.ndarray:
    """The whole model token by token in plain Python."""
    d = model.description
    cache: list[tuple[list, list]] = [([], []) for _ in range(d.layers * d.kv_heads)]
    logits = []
    for position, token in enumerate(tokens):
        x = [
            scalar.saturate(a + b, 16)
            for a, b in zip(
                model.embed_tokens[token].tolist(),
                model.embed_positions[position].tolist(),
                strict=True,
            )
        ]
        for index, layer in enumerate(model.layers):
            y = _scalar_norm(x, layer.attention_norm)
            q, k, v = (_scalar_linear(y, m, 8) for m in (layer.q, layer.k, layer.v))
            mixed: list[int] = []
            for head in range(d.heads):
                keys, values = cache[index * d.kv_heads + head]
                own = slice(head * d.head_dim, (head + 1) * d.head_dim)
                keys.append(k[own])
                values.append(v[own])
                mixed += _scalar_attend(
                    q[own],
                    keys,
                    values,
                    len(keys),
                    width=config.width,
                    probability_bits=config.probability_bits,
                    score=(layer.score_multiplier[head], layer.score_shift[head]),
                    output=(layer.output_multiplier[head], layer.output_shift[head]),
                )
            x = _scalar_add(x, _scalar_linear(mixed, layer.o, 16))
            y = _scalar_norm(x, layer.mlp_norm)
            inner = [max(0, value) for value in _scalar_linear(y, layer.fc1, 8)]
            for matrix, block in zip(layer.fc2, model.blocks, strict=True):
                x = _scalar_add(x, _scalar_linear(inner[block], matrix, 16))
        logits.append(_scalar_linear(_scalar_norm(x, model.final_norm), model.head, 16))
    return np.array(logits)


def _scalar_add(x: list[int], y: list[int]) -> list[int]:
    return [scalar.saturate(a + b, 16) for a, b in zip(x, y, strict=True)]


def test_whole_model_equals_scalar_arithmetic() -> None:
    model = _model()
    sites: dict[str, np.ndarray] = {}
    got = BitTrueModel(model, TINY).forward(TOKENS, observe=sites.__setitem__)
    assert np.array_equal(got, _scalar_logits(model, TOKENS.tolist(), TINY))
    assert got.dtype == np.int16
    for site, array in sites.items():  # guards against a model that saturates to constants
        assert len(np.unique(array)) > 20, site


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 39])
def test_chunks_change_nothing(chunk: int) -> None:
    tier = BitTrueModel(_model(), TINY)
    whole = tier.forward(TOKENS)
    cache = tier.new_cache()
    parts = [tier.forward(TOKENS[s : s + chunk], cache) for s in range(0, len(TOKENS), chunk)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert cache.length == len(TOKENS)
    assert not cache.keys[:, :, cache.length :].any()


def test_lanes_groups_and_ports_do_not_matter() -> None:
    model = _model()
    whole = BitTrueModel(model, TINY).forward(TOKENS)
    other = dataclasses.replace(TINY, lanes=4, groups=7, ports=2, outstanding=2, prefetch_beats=32)
    assert np.array_equal(BitTrueModel(model, other).forward(TOKENS), whole)


def test_head_rows() -> None:
    tier = BitTrueModel(_model(), TINY)
    whole = tier.forward(TOKENS)
    assert np.array_equal(tier.forward(TOKENS, head_rows=[39, 2]), whole[[39, 2]])
    assert tier.forward(TOKENS, head_rows=[]).shape == (0, DESCRIPTION.vocabulary)


def test_observed_sites_are_those_of_the_float_tier() -> None:
    sites: list[str] = []
    BitTrueModel(_model(), TINY).forward(TOKENS[:2], observe=lambda site, _: sites.append(site))
    layer = "qkv_in q_out k_out v_out o_in residual_attention fc1_in fc2_in residual_mlp".split()
    want = [f"layers.{i}.{site}" for i in range(DESCRIPTION.layers) for site in layer]
    assert sites == ["embedding", *want, "head_in"]


def _attend_both(
    seed: int, *, rows: int, keys: int, width: int, bits: int, causal: bool, score_shift: int
) -> None:
    random = np.random.default_rng(seed)
    query = random.integers(-127, 128, (2, rows, 8)).astype(np.int8)
    key, value = (random.integers(-127, 128, (2, keys, 8)).astype(np.int8) for _ in "kv")
    positions = random.integers(-4, keys, rows)
    score = np.array([40000, 50000]), np.array([score_shift, score_shift + 1])
    output = np.array([65535, 32768]), np.array([13, 14])
    got = attend(
        query,
        key,
        value,
        positions=positions,
        width=width,
        probability_bits=bits,
        score_multiplier=score[0],
        score_shift=score[1],
        output_multiplier=output[0],
        output_shift=output[1],
        causal=causal,
    )
    for head in range(2):
        for row in range(rows):
            want = _scalar_attend(
                query[head, row].tolist(),
                key[head].tolist(),
                value[head].tolist(),
                max(0, int(positions[row]) + 1) if causal else keys,
                width=width,
                probability_bits=bits,
                score=(int(score[0][head]), int(score[1][head])),
                output=(int(output[0][head]), int(output[1][head])),
            )
            assert got[head, row].tolist() == want, (head, row, positions[row])


@pytest.mark.parametrize("score_shift", [12, 16, 19, 25])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bits", [8, 12])
def test_attend_equals_scalar_arithmetic(score_shift: int, causal: bool, bits: int) -> None:
    """Saturated, steep and flat scores; rows that see no key, some blocks or all of them."""
    for seed, keys in enumerate((1, 15, 16, 17, 53)):
        _attend_both(
            seed, rows=9, keys=keys, width=16, bits=bits, causal=causal, score_shift=score_shift
        )


def _attend_one(query: list, keys: list, values: list, position: int) -> np.ndarray:
    """Score = q.k / 16 base-2 units, output = mean of V."""
    return attend(
        np.array(query, np.int8),
        np.array(keys, np.int8),
        np.array(values, np.int8),
        positions=np.array([position]),
        width=16,
        probability_bits=12,
        score_multiplier=1 << 15,
        score_shift=11,
        output_multiplier=1 << 15,
        output_shift=14,
    )


def test_row_without_a_key_is_zero() -> None:
    assert _attend_one([[5]], [[5]] * 20, [[100]] * 20, -1).tolist() == [[0]]


def test_masked_keys_change_nothing() -> None:
    """Keys beyond the position, however large their scores, in the same block and in later ones."""
    short = _attend_one([[10]], [[1]] * 5, [[77]] * 5, 4)
    long = _attend_one([[10]], [[1]] * 5 + [[127]] * 40, [[77]] * 5 + [[-127]] * 40, 4)
    assert short.tolist() == long.tolist() == [[77]]


def test_a_far_larger_later_block_outweighs_the_first() -> None:
    """The rescaling shift is limited to 63 and then clears what came before."""
    keys = [[-127]] * 16 + [[127]]
    assert _attend_one([[127]], keys, [[100]] * 16 + [[-50]], 16).tolist() == [[-50]]


def test_accumulators_are_exact_beyond_the_float32_strip() -> None:
    inputs = 5000
    x = np.full((2, inputs), 127, np.int8)
    x[1] = np.where(np.arange(inputs) % 2, -127, 126)
    matrix = QuantisedLinear(
        weight=np.full((3, inputs), 127, np.int8) * np.array([[1], [-1], [0]], np.int8),
        bias=np.array([1, -1, 2**31 - 1], np.int32),
        multiplier=np.full(3, 65535, np.uint16),
        shift=np.full(3, 20, np.uint8),
    )
    want = x.astype(np.int64) @ matrix.weight.astype(np.int64).T + matrix.bias
    assert np.array_equal(accumulate(x, matrix), want)


def test_linear_relu_and_types() -> None:
    matrix = _linear(np.random.default_rng(3), 6, 8, shift=22, bias=True)
    x = np.random.default_rng(4).integers(-127, 128, (5, 8)).astype(np.int8)
    plain, rectified = linear(x, matrix), linear(x, matrix, relu=True)
    assert plain.dtype == np.int8 and plain.min() < 0
    assert np.array_equal(rectified, np.maximum(plain, 0))
    assert linear(x, matrix, bits=16).dtype == np.int16


def test_add_residual_saturates() -> None:
    got = add_residual(np.array([[32767, -32768, 5]], np.int16), np.array([[1, -1, -6]], np.int16))
    assert got.tolist() == [[32767, -32768, -1]] and got.dtype == np.int16


def test_norm_keeps_rows_apart() -> None:
    random = np.random.default_rng(9)
    parameters = _norm(random, 16)
    rows = random.integers(-30000, 30000, (4, 16)).astype(np.int16)
    together = norm(rows, parameters)
    assert np.array_equal(together, np.concatenate([norm(row[None], parameters) for row in rows]))


def test_refused_tokens_and_positions() -> None:
    tier = BitTrueModel(_model(), TINY)
    with pytest.raises(ValueError, match="a token must be 0 to 19, not 20"):
        tier.forward([20])
    with pytest.raises(ValueError, match="tokens must be a vector of at least one integer"):
        tier.forward([])
    with pytest.raises(ValueError, match="position 48 is beyond the 48 positions"):
        tier.forward([0] * 49)
    with pytest.raises(ValueError, match="position 4 is beyond the 4 positions"):
        tier.forward([0] * 5, KeyValueCache(DESCRIPTION, capacity=4))
    with pytest.raises(ValueError, match="a cache must hold 1 to 48 positions, not 49"):
        KeyValueCache(DESCRIPTION, capacity=49)


def test_refused_head_dimension() -> None:
    model = _model(dataclasses.replace(DESCRIPTION, width=64, head_dim=32))
    with pytest.raises(ValueError, match=r"head_dim must be at most max_head_dim \(16\), not 32"):
        BitTrueModel(model, dataclasses.replace(TINY, max_head_dim=16))
