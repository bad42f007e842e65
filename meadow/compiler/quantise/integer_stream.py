# SPDX-License-Identifier: Apache-2.0
"""The bit-true tier as a stream that windows of text go through layer by layer."""

from __future__ import annotations

import numpy as np

from meadow.compiler.quantise.prefix import PrefixRows
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.cache import KeyValueCache

__all__ = ["IntegerStream"]


class IntegerStream:
    """A quantised model as `text_figures.Stream`, bit for bit what the hardware computes.

    Rows are the residual int16 [n, d]. Those of the prefix stand for themselves only: its keys and
    values are those of the image.

    tier : the bit-true tier. prefix : of the model, None for none; every window begins with its
    tokens.
    """

    def __init__(self, tier: BitTrueModel, prefix: PrefixRows | None = None) -> None:
        self.layers = tier.model.description.layers
        self._tier, self._rows = tier, prefix
        self._prefix = 0 if prefix is None else len(prefix.tokens)

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """See `Stream`; ValueError if the tokens do not begin with the prefix."""
        if self._rows is not None and tuple(tokens[: self._prefix]) != self._rows.tokens:
            raise ValueError(
                f"a window must begin with the prefix {list(self._rows.tokens)}, not "
                f"{list(tokens[: self._prefix])}"
            )
        return self._tier.model.embed(tokens, np.arange(len(tokens)))

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        return self.mlp(index, self.attention(index, rows))

    def attention(self, index: int, rows: np.ndarray) -> np.ndarray:
        """Rows behind the attention of a layer."""
        # Of the memory for all layers only what is written to is ever taken.
        cache = KeyValueCache(self._tier.model.description, capacity=len(rows))
        if self._rows is not None:
            cache.keys[index, :, : self._prefix] = self._rows.keys[index]
            cache.values[index, :, : self._prefix] = self._rows.values[index]
            cache.length = self._prefix
        behind = self._tier.attention_sublayer(index, rows[self._prefix :], cache)
        return self._joined(rows, behind)

    def mlp(self, index: int, rows: np.ndarray) -> np.ndarray:
        """Rows behind the MLP of a layer."""
        return self._joined(rows, self._tier.mlp_sublayer(index, rows[self._prefix :]))

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """See `Stream`; of a model with the outputs "hidden" its residual in real values."""
        model = self._tier.model
        scale = model.logits_scale if model.head is not None else model.residual_scale
        return self._tier.output(rows) * np.float32(scale)

    def _joined(self, rows: np.ndarray, behind: np.ndarray) -> np.ndarray:
        return np.concatenate([rows[: self._prefix], behind])
