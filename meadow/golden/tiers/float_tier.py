# SPDX-License-Identifier: Apache-2.0
"""The float tier: the transformer in NumPy, the reference the integer tiers are measured by.

Matrices multiply in float32 unless a model is asked for float64; norm statistics and soft-max are
taken in float64, which keeps the tier within float32 rounding of other implementations. Float32
sums depend on the number of BLAS threads, and with them whatever is quantised by what was seen: the
compiler asks for float64. Results have the type of what comes in. Shape letters: n new tokens, L
context after them, d width, h heads, e elements per head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from meadow.golden.activations import ACTIVATIONS, real_type, relu
from meadow.golden.tiers.cache import Cache
from meadow.golden.tiers.observer import Observer, ignore
from meadow.golden.tiers.tokens import checked_tokens
from meadow.spec.model import ModelDescription

__all__ = [
    "FloatCache",
    "FloatModel",
    "attention",
    "layer_norm",
    "linear",
    "perplexity",
    "rms_norm",
    "rotary_angles",
    "rotate",
    "softmax",
]


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``y[n, o] = sum_i x[n, i] * weight[o, i] + bias[o]``.

    x ``[n, in]``, weight ``[out, in]``, bias ``[out]`` -> ``[n, out]``.
    """
    y = x @ weight.T
    return y if bias is None else y + bias


def layer_norm(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, epsilon: float = 1e-5
) -> np.ndarray:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the last axis.

    x ``[n, d]``, weight and bias ``[d]`` -> ``[n, d]``; population variance.
    """
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return (centred / np.sqrt(variance + epsilon) * weight + bias).astype(real_type(x))


def rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: float = 1e-5) -> np.ndarray:
    """``x / sqrt(mean(x^2) + epsilon) * weight`` over the last axis.

    x ``[n, d]``, weight ``[d]`` -> ``[n, d]``.
    """
    wide = x.astype(np.float64)
    square = np.mean(wide * wide, axis=-1, keepdims=True)
    return (wide / np.sqrt(square + epsilon) * weight).astype(real_type(x))


def rotary_angles(
    positions: np.ndarray, head_dim: int, base: float, divisors: Sequence[float] = ()
) -> np.ndarray:
    """Angle ``position * base^(-2 i / e) / divisor_i`` of pair i: positions ``[n]`` -> float64
    ``[n, e/2]``.

    divisors : one for each pair, none for 1.
    """
    frequency = base ** (-np.arange(0, head_dim, 2) / head_dim)
    if divisors:
        frequency = frequency / np.asarray(divisors, np.float64)
    return np.asarray(positions, np.float64)[:, None] * frequency


def rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Every pair (2i, 2i+1) of every head turned by its angle.

    x ``[n, heads * e]``, angles ``[n, e/2]`` -> ``[n, heads * e]``.
    """
    pairs = x.reshape(len(x), -1, angles.shape[1], 2)
    cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = pairs[..., 0], pairs[..., 1]
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    return np.stack(turned, axis=-1).reshape(x.shape).astype(real_type(x))


def softmax(x: np.ndarray) -> np.ndarray:
    """``exp(x) / sum(exp(x))`` over the last axis, any shape -> same shape, float64.

    ``-inf`` masks an entry; every row needs an entry that is not masked.
    """
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, *, causal: bool = True) -> np.ndarray:
    """Attention of the last n positions of a context.

    q ``[h, n, e]`` already scaled by ``e**-0.5``, k and v ``[kv_heads, L, e]`` -> ``[n, h * e]``.
    Query row t has the position ``L - n + t`` and sees the keys up to it, or all if not
    causal. Query head i reads the key/value head ``i * kv_heads // h``.
    """
    heads, rows, head_dim = q.shape
    context = k.shape[1]
    group = heads // k.shape[0]
    scores = q @ np.repeat(k, group, axis=0).transpose(0, 2, 1)
    positions = np.arange(context - rows, context)
    masked = (np.arange(context)[None, :] > positions[:, None]) & causal
    probabilities = softmax(np.where(masked, -np.inf, scores)).astype(q.dtype)
    mixed = probabilities @ np.repeat(v, group, axis=0)
    return mixed.transpose(1, 0, 2).reshape(rows, heads * head_dim)


class FloatCache(Cache):
    """Keys and values in float; with ``dtype`` that of the model."""

    def __init__(
        self,
        description: ModelDescription,
        *,
        capacity: int | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        super().__init__(description, dtype, capacity=capacity)


class _TypedTensors(Mapping[str, np.ndarray]):
    """A model's tensors, each checked and turned into a type when it is asked for."""

    def __init__(
        self,
        description: ModelDescription,
        tensors: Mapping[str, np.ndarray],
        dtype: type[np.floating],
    ) -> None:
        self._shapes, self._tensors, self._dtype = description.tensor_shapes, tensors, dtype
        missing = [name for name in self._shapes if name not in tensors]
        if missing:
            raise ValueError(f"the model needs the tensor {missing[0]}")

    def __getitem__(self, name: str) -> np.ndarray:
        shape, array = self._shapes[name], self._tensors[name]
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {list(shape)}, not {list(array.shape)}")
        return np.asarray(array, self._dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class FloatModel:
    """A transformer in float, whole or token by token.

    Parameters
    ----------
    description : the model's sizes.
    tensors : canonical name -> array, as
        :func:`meadow.compiler.importers.checkpoint.load_checkpoint` returns; names and shapes must
        be those of ``description.tensor_shapes``. With rotary positions the rows of ``q`` and ``k``
        hold the two channels of a rotation pair, 2i and 2i+1 of their head, next to each other.
    dtype : of matrices and residual, ``np.float32`` or ``np.float64``.
    resident : False takes each tensor from `tensors` whenever it is used and keeps none, for a
        model that is walked layer by layer and is too large to be held as a whole.
    """

    def __init__(
        self,
        description: ModelDescription,
        tensors: Mapping[str, np.ndarray],
        dtype: type[np.floating] = np.float32,
        *,
        resident: bool = True,
    ) -> None:
        self.description = description
        self.dtype = dtype
        typed = _TypedTensors(description, tensors, dtype)
        self.tensors: Mapping[str, np.ndarray] = dict(typed) if resident else typed

    def forward(
        self,
        tokens: Sequence[int] | np.ndarray,
        cache: FloatCache | None = None,
        *,
        observe: Observer | None = None,
    ) -> np.ndarray:
        """Logits ``[n, vocabulary]`` of n tokens that follow what the cache holds.

        A model with the outputs "hidden" returns its last residual rows ``[n, d]``. The cache is
        extended by the n tokens; without one the tokens start at position 0, where those of a
        model that is not causal must start.

        ``observe(site, array)`` is called with, in order of execution, ``embedding`` ``[n, d]``,
        per layer i ``layers.{i}.`` + ``qkv_in`` ``[n, d]``, ``q_out`` (with bias, before the
        factor ``head_dim**-0.5``), ``k_out``, ``v_out``, ``o_in`` ``[n, heads * head_dim]``,
        ``residual_attention`` ``[n, d]``, ``fc1_in`` ``[n, d]``, ``fc2_in`` ``[n, hidden]``,
        ``residual_mlp`` ``[n, d]``, and last ``head_in`` ``[n, d]`` (with outputs "tokens").

        Rotary models: ``q_linear``, ``k_linear`` in front of ``q_out``: before the rotation.
        Models with another activation than ReLU: ``fc1_out`` ``[n, hidden]`` behind ``fc1_in``;
        gated ones then ``activation`` (of it) and ``up_out``. Post-norm models: the normalised
        residual as ``embedding.residual_norm`` behind ``embedding``, and per layer as
        ``residual_attention_norm`` and ``residual_mlp_norm``. The arrays must not be written to.
        """
        d = self.description
        ids = checked_tokens(tokens, self.description.vocabulary)
        if cache is None:
            cache = self.new_cache(min(len(ids), d.max_positions))
        if cache.length + len(ids) > cache.capacity:
            raise ValueError(
                f"position {cache.length + len(ids) - 1} is beyond the cache's "
                f"{cache.capacity} positions"
            )
        seen: Observer = observe if observe is not None else ignore

        if not d.causal and cache.length:
            raise ValueError(
                f"tokens of a model that is not causal must start at position 0, not {cache.length}"
            )

        x = self.embed(ids, np.arange(cache.length, cache.length + len(ids)))
        seen("embedding", x)
        for index in range(d.layers):
            x = self.attention_sublayer(index, x, cache, observe=seen)
            x = self.mlp_sublayer(index, x, observe=seen)
        cache.length += len(ids)
        return self.output(x, observe=seen)

    def new_cache(self, capacity: int | None = None) -> FloatCache:
        """An empty cache of the model's type, by default for `max_positions`."""
        return FloatCache(self.description, capacity=capacity, dtype=self.dtype)

    def embed(self, ids: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Residual rows ``[n, d]`` of tokens at positions, in front of the first sublayer."""
        x = self.tensors["embed_tokens"][ids]
        if not self.description.rotary_base:
            x = x + self.tensors["embed_positions"][positions + self.description.position_offset]
        return x

    def attention_sublayer(
        self, index: int, x: np.ndarray, cache: FloatCache, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Norm and attention of layer `index`: x ``[n, d]`` -> x with the attention output added.

        x are the rows at the cache's ``length``, which stays; their keys and values are written. Of
        a post-norm model x is the sum in front of the norm behind what came before, as is the
        result: the norm is taken first in every model.
        """
        d, seen = self.description, observe if observe is not None else ignore
        layer = f"layers.{index}"
        rows = slice(cache.length, cache.length + len(x))

        if d.norm_order == "post":
            x = normed = self._norm_behind(index, x, seen)
        else:
            normed = self._norm(f"{layer}.attention_norm", x)
        seen(f"{layer}.qkv_in", normed)
        q = self._linear(f"{layer}.q", normed)
        k = self._linear(f"{layer}.k", normed)
        v = self._linear(f"{layer}.v", normed)
        if d.rotary_base:
            seen(f"{layer}.q_linear", q)
            seen(f"{layer}.k_linear", k)
            positions = np.arange(rows.start, rows.stop)
            angles = rotary_angles(positions, d.head_dim, d.rotary_base, d.rotary_divisors)
            q, k = rotate(q, angles), rotate(k, angles)
        seen(f"{layer}.q_out", q)
        seen(f"{layer}.k_out", k)
        seen(f"{layer}.v_out", v)
        cache.keys[index, :, rows] = _split_heads(k, d.kv_heads)
        cache.values[index, :, rows] = _split_heads(v, d.kv_heads)
        mixed = attention(
            _split_heads(q * q.dtype.type(d.head_dim**-0.5), d.heads),
            cache.keys[index, :, : rows.stop],
            cache.values[index, :, : rows.stop],
            causal=d.causal,
        )
        seen(f"{layer}.o_in", mixed)
        x = x + self._linear(f"{layer}.o", mixed)
        seen(f"{layer}.residual_attention", x)
        return x

    def mlp_sublayer(
        self, index: int, x: np.ndarray, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Norm and MLP of layer `index`: x ``[n, d]`` -> x with the MLP's output added.

        x and the result are what those of :meth:`attention_sublayer` are.
        """
        seen = observe if observe is not None else ignore
        layer = f"layers.{index}"
        if self.description.norm_order == "post":
            x = normed = self._norm(f"{layer}.attention_norm", x)
            seen(f"{layer}.residual_attention_norm", x)
        else:
            normed = self._norm(f"{layer}.mlp_norm", x)
        seen(f"{layer}.fc1_in", normed)
        inner = self._inner(layer, normed, seen)
        seen(f"{layer}.fc2_in", inner)
        x = x + self._linear(f"{layer}.fc2", inner)
        seen(f"{layer}.residual_mlp", x)
        return x

    def output(self, x: np.ndarray, *, observe: Observer | None = None) -> np.ndarray:
        """What :meth:`forward` returns, from the result ``[n, d]`` of the last sublayer."""
        d, seen = self.description, observe if observe is not None else ignore
        if d.norm_order == "post":
            x = self._norm_behind(d.layers, x, seen)
        if d.outputs == "hidden":
            return x
        x = self._norm("final_norm", x)
        seen("head_in", x)
        return linear(x, self.tensors["embed_tokens" if d.tied_head else "head"])

    def _inner(self, layer: str, normed: np.ndarray, seen: Observer) -> np.ndarray:
        """What the second matrix of the MLP takes in: ``[n, d]`` -> ``[n, hidden]``."""
        d = self.description
        inner = self._linear(f"{layer}.fc1", normed)
        if d.activation == "relu":
            return relu(inner)
        seen(f"{layer}.fc1_out", inner)
        inner = ACTIVATIONS[d.activation](inner)
        if not d.gated:
            return inner
        seen(f"{layer}.activation", inner)
        up = self._linear(f"{layer}.up", normed)
        seen(f"{layer}.up_out", up)
        return inner * up

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        d, weight = self.description, self.tensors[f"{name}.weight"]
        if d.norm == "rms":
            normed = rms_norm(x, weight, d.norm_epsilon)
            offset = self.tensors.get(f"{name}.bias")
            return normed if offset is None else normed + offset
        return layer_norm(x, weight, self.tensors[f"{name}.bias"], d.norm_epsilon)

    def _norm_behind(self, index: int, x: np.ndarray, seen: Observer) -> np.ndarray:
        """The norm of a post-norm model in front of layer `index`, behind what came before."""
        before = f"layers.{index - 1}."
        x = self._norm(f"{before}mlp_norm" if index else "embedding_norm", x)
        seen(f"{before}residual_mlp_norm" if index else "embedding.residual_norm", x)
        return x


def perplexity(
    model_forward: Callable[[np.ndarray], np.ndarray],
    token_sequences: Iterable[Sequence[int] | np.ndarray],
) -> float:
    """``exp`` of the mean negative log-likelihood per predicted token.

    model_forward : tokens ``[n]`` -> logits ``[n, vocabulary]``. The first token of a sequence
    is given, all others are predicted; each predicted token of all sequences weighs the same.
    """
    total, count = 0.0, 0
    for sequence in token_sequences:
        ids = np.asarray(sequence)
        if len(ids) < 2:
            raise ValueError(f"a sequence needs at least 2 tokens, not {len(ids)}")
        logits = model_forward(ids[:-1]).astype(np.float64)
        peak = logits.max(axis=-1)
        norm = peak + np.log(np.exp(logits - peak[:, None]).sum(axis=-1))
        total += float(np.sum(norm - logits[np.arange(len(ids) - 1), ids[1:]]))
        count += len(ids) - 1
    if count == 0:
        raise ValueError("perplexity needs at least one sequence, not none")
    return float(np.exp(total / count))


def _split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """``[n, heads * e]`` -> ``[heads, n, e]``."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)
