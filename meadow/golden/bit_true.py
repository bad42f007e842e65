# SPDX-License-Identifier: Apache-2.0
"""The bit-true tier: the quantised decoder in the order of the hardware, equal to it bit for bit.

Results depend on the tile width W, the probability bits and the hidden block H, and on nothing
else: not on lanes, rows, groups or ports, and not on how a prompt was cut into chunks.

Shape letters: n new tokens, L keys, d width, e elements per head, W tile width, H hidden block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from meadow.golden.numerics import (
    block_maximum,
    layer_norm,
    output_scale,
    probability,
    requantise,
    rounding_shift,
    saturate,
)
from meadow.golden.quantised import (
    QuantisedLayer,
    QuantisedLinear,
    QuantisedModel,
    QuantisedNorm,
)
from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import RESCALE_LIMIT

__all__ = [
    "BitTrueModel",
    "KeyValueCache",
    "Observer",
    "accumulate",
    "add_residual",
    "attend",
    "linear",
    "norm",
]

Observer = Callable[[str, np.ndarray], None]

# Below any score and any block maximum: what a masked key stands for.
_MASKED_SCORE = -(1 << 20)
_NO_MAXIMUM = int(block_maximum(np.array(_MASKED_SCORE)))

# float32 holds integers up to 2^24 exactly, and 127 * 127 * 1040 is the last sum below it: within
# a strip of 1024 products no partial sum, in whatever order BLAS takes them, is rounded.
_EXACT_STRIP = 1024

# Scores of so many elements are held at once; more heads are then taken one after another.
_SCORE_ELEMENTS = 1 << 22


def accumulate(x: np.ndarray, matrix: QuantisedLinear) -> np.ndarray:
    """Accumulators x @ weight.T + bias: x int8 [n, in] -> int64 [n, out], exact."""
    operand = x.astype(np.float32)
    total = np.broadcast_to(matrix.bias.astype(np.int64), (len(x), matrix.outputs)).copy()
    for start in range(0, matrix.inputs, _EXACT_STRIP):
        strip = slice(start, start + _EXACT_STRIP)
        total += (operand[:, strip] @ matrix.operand[:, strip].T).astype(np.int64)
    return total


def linear(
    x: np.ndarray, matrix: QuantisedLinear, *, bits: int = 8, relu: bool = False
) -> np.ndarray:
    """A MATMUL up to its drain: x int8 [n, in] -> sat(rq(acc + bias)) [n, out].

    bits 8 gives int8 (MatmulOutput INT8, with `relu` RELU8), bits 16 gives int16 (LOGITS16).
    """
    y = requantise(accumulate(x, matrix), matrix.multiplier, matrix.shift, bits)
    return (np.maximum(y, 0) if relu else y).astype(np.int8 if bits == 8 else np.int16)


def add_residual(residual: np.ndarray, update: np.ndarray) -> np.ndarray:
    """sat16(residual + update), both int16 [n, d]."""
    return saturate(residual.astype(np.int32) + update, 16).astype(np.int16)


def norm(residual: np.ndarray, parameters: QuantisedNorm) -> np.ndarray:
    """A NORM: residual int16 [n, d] -> int8 [n, d]."""
    return layer_norm(
        residual,
        parameters.gain,
        parameters.offset,
        epsilon=parameters.epsilon,
        mean_multiplier=parameters.mean_multiplier,
        mean_shift=parameters.mean_shift,
        norm_shift=parameters.norm_shift,
        offset_shift=parameters.offset_shift,
        output_shift=parameters.output_shift,
        rms=parameters.rms,
    ).astype(np.int8)


def attend(
    query: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    *,
    positions: np.ndarray,
    width: int,
    probability_bits: int,
    score_multiplier: np.ndarray | int,
    score_shift: np.ndarray | int,
    output_multiplier: np.ndarray | int,
    output_shift: np.ndarray | int,
    causal: bool = True,
) -> np.ndarray:
    """An ATTEND: online base-2 softmax over key blocks in ascending order.

    query: int8 [..., n, e]; keys, values: int8 [..., L, e], row j is absolute position j;
    positions: [n], absolute position of each query row, not used unless causal;
    width: W, keys per block, blocks start at multiples of W;
    multipliers and shifts: numbers, or arrays of the leading shape (...), usually [kv_heads].

    Returns int8 [..., n, e]. Per row, with the block's scores z = rq16(q.k) of unmasked keys:

        M' = max(M, ceil(max z / 256)), delta = min(M' - M, 63), 0 for the first unmasked block
        sum = rounding_shift(sum, delta) + sum of p,  p = probability(z, M')
        O = rounding_shift(O, delta) + p.V
        out = requantise(O, *output_scale(sum), 8)

    A block without an unmasked key changes nothing; a row without any gives zeros.
    """
    length, rows = keys.shape[-2], query.shape[-2]
    blocks = -(-length // width)
    padded = blocks * width
    lead = query.shape[:-2]

    # q.k stays below 127 * 127 * 512 < 2^24: float32 is exact.
    products = query.astype(np.float32) @ np.swapaxes(keys, -1, -2).astype(np.float32)
    scores = np.full((*lead, rows, padded), _MASKED_SCORE, np.int64)
    scores[..., :length] = requantise(
        products.astype(np.int64), _per_head(score_multiplier), _per_head(score_shift), 16
    )
    if causal:
        scores[..., np.arange(padded) > np.asarray(positions)[:, None]] = _MASKED_SCORE
    scores = scores.reshape(*lead, rows, blocks, width)

    # The running maximum needs only the blocks' maxima, so all probabilities are taken at once;
    # masked scores are so low that their probability is 0 against any maximum.
    maximum = np.maximum.accumulate(block_maximum(scores.max(axis=-1)), axis=-1)
    previous = np.concatenate([maximum[..., :1], maximum[..., :-1]], axis=-1)
    delta = np.minimum(maximum - previous, RESCALE_LIMIT)
    delta[previous == _NO_MAXIMUM] = 0
    reference = np.where(maximum == _NO_MAXIMUM, 0, maximum)
    power = probability(scores, reference[..., None], probability_bits)

    # p.V within a block stays below 4095 * 127 * 256 < 2^53: float64 is exact.
    operand = np.zeros((*lead, padded, values.shape[-1]))
    operand[..., :length, :] = values
    operand = operand.reshape(*lead, blocks, width, -1)
    mixed = (np.swapaxes(power, -2, -3).astype(np.float64) @ operand).astype(np.int64)
    sums = power.sum(axis=-1)

    total = np.zeros((*lead, rows), np.int64)
    output = np.zeros((*lead, rows, values.shape[-1]), np.int64)
    for block in range(blocks):
        step = delta[..., block]
        if step.any():
            total = rounding_shift(total, step)
            output = rounding_shift(output, step[..., None])
        total += sums[..., block]
        output += mixed[..., block, :, :]
    multiplier, shift = output_scale(
        total, np.asarray(output_multiplier)[..., None], np.asarray(output_shift)[..., None]
    )
    return requantise(output, multiplier[..., None], shift[..., None], 8).astype(np.int8)


def _per_head(value: np.ndarray | int) -> np.ndarray:
    """A number or an array [...] as one that broadcasts against [..., n, L]."""
    return np.asarray(value)[..., None, None]


class KeyValueCache:
    """INT8 keys and values of the positions seen so far.

    keys, values: int8 [layers, kv_heads, capacity, e], zeros from row `length` on. `capacity`
    defaults to the model's `max_positions`.
    """

    def __init__(self, description: ModelDescription, *, capacity: int | None = None) -> None:
        capacity = description.max_positions if capacity is None else capacity
        if not 1 <= capacity <= description.max_positions:
            raise ValueError(
                f"a cache must hold 1 to {description.max_positions} positions, not {capacity}"
            )
        shape = (description.layers, description.kv_heads, capacity, description.head_dim)
        self.keys = np.zeros(shape, np.int8)
        self.values = np.zeros(shape, np.int8)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Positions there is room for."""
        return self.keys.shape[2]


class BitTrueModel:
    """A quantised decoder as the accelerator computes it.

    Parameters
    ----------
    model: the quantised decoder.
    config: of which `width`, `probability_bits` and the limits `max_context`, `max_head_dim`
        matter.

    Raises ValueError if the head dimension exceeds the configuration's.
    """

    def __init__(self, model: QuantisedModel, config: AcceleratorConfig) -> None:
        if model.description.head_dim > config.max_head_dim:
            raise ValueError(
                f"head_dim must be at most max_head_dim ({config.max_head_dim}), "
                f"not {model.description.head_dim}"
            )
        self.model = model
        self.config = config

    def new_cache(self) -> KeyValueCache:
        """An empty cache for as many positions as model and configuration allow."""
        d = self.model.description
        return KeyValueCache(d, capacity=min(d.max_positions, self.config.max_context))

    def forward(
        self,
        tokens: Sequence[int] | np.ndarray,
        cache: KeyValueCache | None = None,
        *,
        head_rows: Sequence[int] | np.ndarray | None = None,
        observe: Observer | None = None,
    ) -> np.ndarray:
        """Logits int16 [rows, vocabulary] of n tokens that follow what the cache holds.

        The cache is extended by the n tokens; without one the tokens start at position 0.
        `head_rows` are the rows of the chunk to compute logits of, all by default. The real
        value of a logit is `model.logits_scale` times it. `observe(site, array)` is called with
        the integers at the float tier's sites, in order of execution; `head_in` has the head
        rows only. ValueError for a token or a position that the model does not have.
        """
        model, d = self.model, self.model.description
        ids = np.asarray(tokens)
        if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"tokens must be a vector of at least one integer, not {ids.dtype} "
                f"of shape {list(ids.shape)}"
            )
        if ids.min() < 0 or ids.max() >= d.vocabulary:
            wrong = ids[(ids < 0) | (ids >= d.vocabulary)][0]
            raise ValueError(f"a token must be 0 to {d.vocabulary - 1}, not {wrong}")
        cache = self.new_cache() if cache is None else cache
        if cache.length + len(ids) > min(cache.capacity, self.config.max_context):
            raise ValueError(
                f"position {cache.length + len(ids) - 1} is beyond the "
                f"{min(cache.capacity, self.config.max_context)} positions there are"
            )
        seen: Observer = observe if observe is not None else _ignore

        positions = np.arange(cache.length, cache.length + len(ids))
        x = model.embed(ids, positions)
        seen("embedding", x)
        for index, layer in enumerate(model.layers):
            x = self._layer(index, layer, x, positions, cache, seen)
        cache.length += len(ids)

        if head_rows is not None:
            x = x[np.asarray(head_rows, np.int64)]
        x = norm(x, model.final_norm)
        seen("head_in", x)
        return linear(x, model.head, bits=16)

    def _layer(
        self,
        index: int,
        layer: QuantisedLayer,
        x: np.ndarray,
        positions: np.ndarray,
        cache: KeyValueCache,
        seen: Observer,
    ) -> np.ndarray:
        """One decoder layer on the residual rows int16 [n, d]; writes the cache's rows."""
        d = self.model.description
        name = f"layers.{index}."
        rows = slice(int(positions[0]), int(positions[-1]) + 1)

        normed = norm(x, layer.attention_norm)
        seen(name + "qkv_in", normed)
        q, k, v = (linear(normed, matrix) for matrix in (layer.q, layer.k, layer.v))
        seen(name + "q_out", q)
        seen(name + "k_out", k)
        seen(name + "v_out", v)
        shape = (len(x), d.kv_heads, d.head_dim)
        cache.keys[index, :, rows] = k.reshape(shape).swapaxes(0, 1)
        cache.values[index, :, rows] = v.reshape(shape).swapaxes(0, 1)
        mixed = self._attention(
            layer,
            q,
            cache.keys[index, :, : rows.stop],
            cache.values[index, :, : rows.stop],
            positions,
        )
        seen(name + "o_in", mixed)
        x = add_residual(x, linear(mixed, layer.o, bits=16))
        seen(name + "residual_attention", x)

        normed = norm(x, layer.mlp_norm)
        seen(name + "fc1_in", normed)
        inner = linear(normed, layer.fc1, relu=True)
        seen(name + "fc2_in", inner)
        for matrix, block in zip(layer.fc2, self.model.blocks, strict=True):
            x = add_residual(x, linear(inner[:, block], matrix, bits=16))
        seen(name + "residual_mlp", x)
        return x

    def _attention(
        self,
        layer: QuantisedLayer,
        q: np.ndarray,
        keys: np.ndarray,
        values: np.ndarray,
        positions: np.ndarray,
    ) -> np.ndarray:
        """All heads: q int8 [n, heads*e], keys and values [kv_heads, L, e] -> [n, heads*e]."""
        d = self.model.description
        group = d.heads // d.kv_heads
        # The query heads of a KV head are further rows of its attention.
        query = q.reshape(len(q), d.kv_heads, group, d.head_dim).transpose(1, 2, 0, 3)
        query = query.reshape(d.kv_heads, group * len(q), d.head_dim)
        at_once = max(1, _SCORE_ELEMENTS // (query.shape[1] * keys.shape[1]))
        outputs = [
            attend(
                query[part],
                keys[part],
                values[part],
                positions=np.tile(positions, group),
                width=self.config.width,
                probability_bits=self.config.probability_bits,
                score_multiplier=np.array(layer.score_multiplier[part]),
                score_shift=np.array(layer.score_shift[part]),
                output_multiplier=np.array(layer.output_multiplier[part]),
                output_shift=np.array(layer.output_shift[part]),
            )
            for part in (slice(s, s + at_once) for s in range(0, d.kv_heads, at_once))
        ]
        mixed = np.concatenate(outputs).reshape(d.kv_heads, group, len(q), d.head_dim)
        return mixed.transpose(2, 0, 1, 3).reshape(len(q), d.heads * d.head_dim)


def _ignore(site: str, array: np.ndarray) -> None:
    """The observer of a run that nobody observes."""
