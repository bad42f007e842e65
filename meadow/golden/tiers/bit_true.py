# SPDX-License-Identifier: Apache-2.0
"""The bit-true tier: a quantised transformer in the order of the hardware, equal to it bit for bit.

Results depend on the tile width W, the probability bits, the hidden block H and the dataflow of
each layer's attention, and on nothing else: not on lanes, rows, groups or ports, and not on how a
prompt was cut into chunks.

Shape letters: n new tokens, L keys, d width, e elements per head, W tile width, H hidden block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meadow.golden.tiers.attention import attend, attend_layerwise
from meadow.golden.tiers.cache import KeyValueCache
from meadow.golden.tiers.layer_parts import (
    add_residual,
    as_words,
    hidden_rows,
    hidden_words,
    linear,
    norm,
    rotate_heads,
)
from meadow.golden.tiers.observer import Observer, ignore
from meadow.golden.tiers.tokens import checked_tokens
from meadow.model.head_padding import attention_exponent
from meadow.model.quantised import QuantisedLayer, QuantisedModel, QuantisedNorm
from meadow.spec.checks import check_choice
from meadow.spec.config import AcceleratorConfig

__all__ = ["DATAFLOWS", "BitTrueModel"]

DATAFLOWS = ("tphs", "gemm")
"""Orders of attention: on-chip with online softmax, and the layer-by-layer baseline."""

# Scores of so many elements are held at once; more heads are then taken one after another.
_SCORE_ELEMENTS = 1 << 22


class BitTrueModel:
    """A quantised transformer as the accelerator computes it.

    Parameters
    ----------
    model: the quantised transformer.
    config: `width`, `probability_bits` and the limits `max_context`, `max_head_dim` of it matter.
    dataflow: one of DATAFLOWS for all layers, or one name per layer.

    Raises ValueError if the head dimension exceeds the configuration's, or for an unknown dataflow.
    """

    def __init__(
        self,
        model: QuantisedModel,
        config: AcceleratorConfig,
        dataflow: str | Sequence[str] = "tphs",
    ) -> None:
        description, most = model.description, config.max_head_dim
        if description.head_dim > most:
            raise ValueError(
                f"head_dim must be at most max_head_dim ({most}), not {description.head_dim}"
            )
        names = (dataflow,) * description.layers if isinstance(dataflow, str) else tuple(dataflow)
        if len(names) != description.layers:
            raise ValueError(f"dataflow must name {description.layers} layers, not {len(names)}")
        for name in names:
            check_choice("dataflow", name, DATAFLOWS)
        self.model = model
        self.config = config
        self.dataflow = names

    def new_cache(self) -> KeyValueCache:
        """A cache of the prefix, for as many positions as model and configuration allow."""
        description = self.model.description
        capacity = min(description.max_positions, self.config.max_context)
        return KeyValueCache(description, capacity=capacity, prefix=self.model.prefix)

    def forward(
        self,
        tokens: Sequence[int] | np.ndarray,
        cache: KeyValueCache | None = None,
        *,
        head_rows: Sequence[int] | np.ndarray | None = None,
        observe: Observer | None = None,
    ) -> np.ndarray:
        """Logits int16 [rows, vocabulary] of n tokens that follow what the cache holds.

        A model with the outputs "hidden" returns its residual int16 [rows, d]. The cache is
        extended by the n tokens; without one the tokens start behind the model's prefix, those of a
        model that is not causal, which has none, always at position 0. `head_rows` are the rows of
        the chunk to return, all by default. The real value of a logit is `model.logits_scale` times
        it, that of a residual `model.residual_scale` times it. `observe(site, array)` is called
        with the integers at the float tier's sites, in order of execution: of a site with words
        what they stand for, in steps of the site; `head_in` has the head rows only. ValueError for
        a token or a position that the model does not have.
        """
        model = self.model
        cache = self.new_cache() if cache is None else cache
        ids = self._checked(tokens, cache)
        seen: Observer = observe if observe is not None else ignore

        x = model.embed(ids, np.arange(cache.length, cache.length + len(ids)))
        seen("embedding", x)
        for index in range(len(model.layers)):
            x = self.attention_sublayer(index, x, cache, observe=seen)
            x = self.mlp_sublayer(index, x, observe=seen)
        cache.length += len(ids)
        return self.output(x, head_rows=head_rows, observe=seen)

    def _checked(self, tokens: Sequence[int] | np.ndarray, cache: KeyValueCache) -> np.ndarray:
        """The tokens as an array, once they and their positions are known to be possible."""
        description = self.model.description
        ids = checked_tokens(tokens, description.vocabulary)
        end, room = cache.length + len(ids), min(cache.capacity, self.config.max_context)
        if end > room:
            raise ValueError(f"position {end - 1} is beyond the {room} positions there are")
        cache.check_behind(self.model.start)
        if not description.causal and cache.length:
            raise ValueError(
                f"tokens of a model that is not causal must start at position 0, not {cache.length}"
            )
        return ids

    def attention_sublayer(
        self, index: int, x: np.ndarray, cache: KeyValueCache, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Norm and attention of layer `index`: x int16 [n, d] -> x with the attention output added.

        x are the rows at the cache's `length`, which stays; their keys and values are written. Of
        a post-norm model x is the sum in front of the norm behind what came before, as is the
        result: the norm is taken first in every model.
        """
        layer, name = self.model.layers[index], f"layers.{index}."
        seen: Observer = observe if observe is not None else ignore
        if self.model.description.norm_order == "post":
            normed, x = self._post_norm(index, x, seen)
        else:
            normed = self.norm_words(x, layer.attention_norm)
        seen(name + "qkv_in", normed)
        positions = np.arange(cache.length, cache.length + len(x))
        attention_out = self._attention_out(index, normed, positions, cache, seen)
        seen(name + "o_in", attention_out)
        x = add_residual(x, linear(attention_out, layer.o, bits=16))
        seen(name + "residual_attention", x)
        return x

    def mlp_sublayer(
        self, index: int, x: np.ndarray, *, observe: Observer | None = None
    ) -> np.ndarray:
        """Norm and MLP of layer `index`: x int16 [n, d] -> x with the MLP's output added.

        x and the result are what those of `attention_sublayer` are.
        """
        layer, name = self.model.layers[index], f"layers.{index}."
        seen: Observer = observe if observe is not None else ignore
        if self.model.description.norm_order == "post":
            normed, x = self._norm_both(x, layer.attention_norm)
            seen(name + "residual_attention_norm", x)
        else:
            normed = self.norm_words(x, layer.mlp_norm)
        seen(name + "fc1_in", normed)
        hidden = hidden_rows(name, layer, normed, seen)
        parts = self.hidden_words(layer, hidden)
        seen(name + "fc2_in", np.concatenate(parts, axis=1))
        for matrix, part in zip(layer.fc2, parts, strict=True):
            x = add_residual(x, linear(part, matrix, bits=16))
        seen(name + "residual_mlp", x)
        return x

    def output(
        self,
        x: np.ndarray,
        *,
        head_rows: Sequence[int] | np.ndarray | None = None,
        observe: Observer | None = None,
    ) -> np.ndarray:
        """What `forward` returns, from the result int16 [n, d] of the last sublayer."""
        model = self.model
        seen: Observer = observe if observe is not None else ignore
        if model.description.norm_order == "post":
            _, x = self._post_norm(len(model.layers), x, seen)
        if head_rows is not None:
            x = x[np.asarray(head_rows, np.int64)]
        if model.final_norm is None or model.head is None:
            return x
        normed = self.norm_words(x, model.final_norm)
        seen("head_in", normed)
        return linear(normed, model.head, bits=16)

    def _post_norm(
        self, index: int, x: np.ndarray, seen: Observer
    ) -> tuple[np.ndarray, np.ndarray]:
        """The norm of a post-norm model in front of layer `index`, behind what came before."""
        if index:
            parameters = self.model.layers[index - 1].mlp_norm
            site = f"layers.{index - 1}.residual_mlp_norm"
        else:
            assert self.model.embedding_norm is not None
            parameters, site = self.model.embedding_norm, "embedding.residual_norm"
        normed, x = self._norm_both(x, parameters)
        seen(site, x)
        return normed, x

    def _attention_out(
        self,
        index: int,
        normed: np.ndarray,
        positions: np.ndarray,
        cache: KeyValueCache,
        seen: Observer,
    ) -> np.ndarray:
        """From the normalised rows int16 [n, d] to what o takes in, int16 [n, heads*e]."""
        description, layer = self.model.description, self.model.layers[index]
        name = f"layers.{index}."
        if self.model.rotary is None:
            q, k = linear(normed, layer.q), linear(normed, layer.k)
        else:
            q, k = (linear(normed, matrix, bits=16) for matrix in (layer.q, layer.k))
            seen(name + "q_linear", q)
            seen(name + "k_linear", k)
            rotary = self.model.rotary[positions]
            q, k = (rotate_heads(rows, rotary, layer.rotary_shift) for rows in (q, k))
        v = linear(normed, layer.v)
        seen(name + "q_out", q)
        seen(name + "k_out", k)
        seen(name + "v_out", v)
        shape = (len(q), description.kv_heads, description.head_dim)
        rows = slice(int(positions[0]), int(positions[-1]) + 1)
        cache.keys[index, :, rows] = k.reshape(shape).swapaxes(0, 1)
        cache.values[index, :, rows] = v.reshape(shape).swapaxes(0, 1)
        return self.attention(
            index,
            q,
            cache.keys[index, :, : rows.stop],
            cache.values[index, :, : rows.stop],
            positions,
        )

    def attention(
        self,
        index: int,
        q: np.ndarray,
        keys: np.ndarray,
        values: np.ndarray,
        positions: np.ndarray,
    ) -> np.ndarray:
        """All heads of layer `index`, in its dataflow.

        q: int8 [n, heads*e], rotated; keys, values: int8 [kv_heads, L, e], row j is position j;
        positions: [n], of the rows. Returns what the words of o stand for, int16 [n, heads*e].
        """
        description, layer = self.model.description, self.model.layers[index]
        width = self.config.width
        exponent = attention_exponent(description, width)
        group = description.group_heads
        # The query heads of a KV head are further rows of its attention.
        query = q.reshape(len(q), description.kv_heads, group, -1).transpose(1, 2, 0, 3)
        query = query.reshape(description.kv_heads, group * len(q), description.head_dim)
        at_once = max(1, _SCORE_ELEMENTS // (query.shape[1] * keys.shape[1]))
        outputs = []
        for part in (slice(s, s + at_once) for s in range(0, description.kv_heads, at_once)):
            operands = query[part], keys[part], values[part]
            common = {
                "positions": np.tile(positions, group),
                "probability_bits": self.config.probability_bits,
                "score_multiplier": np.array(layer.score_multiplier[part]),
                "score_shift": np.array(layer.score_shift[part]),
                "output_multiplier": np.array(layer.output_multiplier[part]),
                "output_shift": np.array(layer.output_shift[part]) + exponent,
                "output_bits": 8 if exponent else 16,
                "causal": description.causal,
            }
            if self.dataflow[index] == "gemm":
                outputs.append(attend_layerwise(*operands, **common))
            else:
                outputs.append(attend(*operands, width=width, **common))
        heads = np.concatenate(outputs).reshape(description.kv_heads, group, len(q), -1)
        heads = heads.transpose(2, 0, 1, 3).reshape(-1, description.head_dim)
        heads = heads.astype(np.int16) << exponent if exponent else self.head_words(heads)
        return heads.reshape(len(q), -1)

    def _norm_both(self, x: np.ndarray, parameters: QuantisedNorm) -> tuple[np.ndarray, np.ndarray]:
        """A NORM that also replaces the residual: its words and the new residual."""
        return self.norm_words(x, parameters), norm(x, parameters, as_residual=True)

    def norm_words(self, x: np.ndarray, parameters: QuantisedNorm) -> np.ndarray:
        """A NORM: what its words stand for, int16 [n, d]."""
        return as_words(norm(x, parameters), self.config.width)

    def head_words(self, heads: np.ndarray) -> np.ndarray:
        """What the words of heads stand for, int16 [n, e]; each head begins one and fills it."""
        return as_words(heads, self.config.width)

    def hidden_words(self, layer: QuantisedLayer, hidden: np.ndarray) -> list[np.ndarray]:
        """What the words of each hidden block stand for: int16 [n, hidden] -> int16 [n, H] each."""
        return hidden_words(layer, hidden, self.model.blocks, self.config.width)
