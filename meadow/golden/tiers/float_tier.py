# SPDX-License-Identifier: Apache-2.0
"""The float tier: the transformer in NumPy, the reference the integer tiers are measured by.

Matrices multiply in float32 unless a model is asked for float64; norm statistics and soft-max are
taken in float64, which keeps the tier within float32 rounding of other implementations. Float32
sums depend on the number of BLAS threads, and with them whatever is quantised by what was seen: the
compiler asks for float64. Results have the type of what comes in. Shape letters: n new tokens, L
context after them, d width, h heads, e elements per head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from meadow.golden.activations import ACTIVATIONS, relu
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_operators import (
    attention,
    layer_norm,
    linear,
    rms_norm,
    rotary_angles,
    rotate,
)
from meadow.golden.tiers.observer import Observer, ignore
from meadow.golden.tiers.tokens import checked_tokens
from meadow.spec.model import ModelDescription

__all__ = ["FloatModel"]


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
        description = self.description
        ids = checked_tokens(tokens, self.description.vocabulary)
        if cache is None:
            cache = self.new_cache(min(len(ids), description.max_positions))
        if cache.length + len(ids) > cache.capacity:
            raise ValueError(
                f"position {cache.length + len(ids) - 1} is beyond the cache's "
                f"{cache.capacity} positions"
            )
        seen: Observer = observe if observe is not None else ignore

        if not description.causal and cache.length:
            raise ValueError(
                f"tokens of a model that is not causal must start at position 0, not {cache.length}"
            )

        x = self.embed(ids, np.arange(cache.length, cache.length + len(ids)))
        seen("embedding", x)
        for index in range(description.layers):
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
        description, seen = self.description, observe if observe is not None else ignore
        layer = f"layers.{index}"
        rows = slice(cache.length, cache.length + len(x))

        if description.norm_order == "post":
            x = normed = self._post_norm(index, x, seen)
        else:
            normed = self._norm(f"{layer}.attention_norm", x)
        seen(f"{layer}.qkv_in", normed)
        q = self._linear(f"{layer}.q", normed)
        k = self._linear(f"{layer}.k", normed)
        v = self._linear(f"{layer}.v", normed)
        if description.rotary_base:
            seen(f"{layer}.q_linear", q)
            seen(f"{layer}.k_linear", k)
            positions = np.arange(rows.start, rows.stop)
            angles = rotary_angles(
                positions,
                description.head_dim,
                description.rotary_base,
                description.rotary_divisors,
            )
            q, k = rotate(q, angles), rotate(k, angles)
        seen(f"{layer}.q_out", q)
        seen(f"{layer}.k_out", k)
        seen(f"{layer}.v_out", v)
        cache.keys[index, :, rows] = _split_heads(k, description.kv_heads)
        cache.values[index, :, rows] = _split_heads(v, description.kv_heads)
        attention_out = attention(
            _split_heads(q * q.dtype.type(description.head_dim**-0.5), description.heads),
            cache.keys[index, :, : rows.stop],
            cache.values[index, :, : rows.stop],
            causal=description.causal,
        )
        seen(f"{layer}.o_in", attention_out)
        x = x + self._linear(f"{layer}.o", attention_out)
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
        mlp_hidden = self._mlp_hidden(layer, normed, seen)
        seen(f"{layer}.fc2_in", mlp_hidden)
        x = x + self._linear(f"{layer}.fc2", mlp_hidden)
        seen(f"{layer}.residual_mlp", x)
        return x

    def output(self, x: np.ndarray, *, observe: Observer | None = None) -> np.ndarray:
        """What :meth:`forward` returns, from the result ``[n, d]`` of the last sublayer."""
        description, seen = self.description, observe if observe is not None else ignore
        if description.norm_order == "post":
            x = self._post_norm(description.layers, x, seen)
        if description.outputs == "hidden":
            return x
        x = self._norm("final_norm", x)
        seen("head_in", x)
        return linear(x, self.tensors["embed_tokens" if description.tied_head else "head"])

    def _mlp_hidden(self, layer: str, normed: np.ndarray, seen: Observer) -> np.ndarray:
        """What the second matrix of the MLP takes in: ``[n, d]`` -> ``[n, hidden]``."""
        description = self.description
        mlp_hidden = self._linear(f"{layer}.fc1", normed)
        if description.activation == "relu":
            return relu(mlp_hidden)
        seen(f"{layer}.fc1_out", mlp_hidden)
        mlp_hidden = ACTIVATIONS[description.activation](mlp_hidden)
        if not description.gated:
            return mlp_hidden
        seen(f"{layer}.activation", mlp_hidden)
        up = self._linear(f"{layer}.up", normed)
        seen(f"{layer}.up_out", up)
        return mlp_hidden * up

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        description, weight = self.description, self.tensors[f"{name}.weight"]
        if description.norm == "rms":
            normed = rms_norm(x, weight, description.norm_epsilon)
            offset = self.tensors.get(f"{name}.bias")
            return normed if offset is None else normed + offset
        return layer_norm(x, weight, self.tensors[f"{name}.bias"], description.norm_epsilon)

    def _post_norm(self, index: int, x: np.ndarray, seen: Observer) -> np.ndarray:
        """The norm of a post-norm model in front of layer `index`, behind what came before."""
        before = f"layers.{index - 1}."
        x = self._norm(f"{before}mlp_norm" if index else "embedding_norm", x)
        seen(f"{before}residual_mlp_norm" if index else "embedding.residual_norm", x)
        return x


def _split_heads(x: np.ndarray, heads: int) -> np.ndarray:
    """``[n, heads * e]`` -> ``[heads, n, e]``."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)
