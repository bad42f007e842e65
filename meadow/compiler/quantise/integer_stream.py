# SPDX-License-Identifier: Apache-2.0
"""The bit-true tier as a stream that windows of text go through layer by layer."""

from __future__ import annotations

import numpy as np

from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.cache import KeyValueCache

__all__ = ["IntegerStream"]


class IntegerStream:
    """A quantised model as `text_figures.Stream`, bit for bit what the hardware computes.

    Rows are the residual int16 [n, d]. Every window begins with the model's prefix, if it has one,
    whose rows stand for themselves only: its keys and values are those of the model.

    tier : the bit-true tier.
    """

    def __init__(self, tier: BitTrueModel) -> None:
        self.layers = tier.model.description.layers
        self._tier, self._given = tier, tier.model.start

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """See `Stream`; ValueError if the tokens do not begin with the prefix."""
        prefix = self._tier.model.prefix
        if prefix is not None and tuple(tokens[: self._given].tolist()) != prefix.tokens:
            raise ValueError(
                f"a window must begin with the prefix {list(prefix.tokens)}, not "
                f"{tokens[: self._given].tolist()}"
            )
        return self._tier.model.embed(tokens, np.arange(len(tokens)))

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        return self.mlp(index, self.attention(index, rows))

    def attention(self, index: int, rows: np.ndarray) -> np.ndarray:
        """Rows behind the attention of a layer."""
        model = self._tier.model
        # Of the memory for all layers only what is written to is ever taken.
        cache = KeyValueCache(model.description, capacity=len(rows), prefix=model.prefix)
        behind = self._tier.attention_sublayer(index, rows[self._given :], cache)
        return self._joined(rows, behind)

    def mlp(self, index: int, rows: np.ndarray) -> np.ndarray:
        """Rows behind the MLP of a layer."""
        return self._joined(rows, self._tier.mlp_sublayer(index, rows[self._given :]))

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """See `Stream`; of a model with the outputs "hidden" its residual in real values."""
        model = self._tier.model
        scale = model.logits_scale if model.head is not None else model.residual_scale
        return self._tier.output(rows) * np.float32(scale)

    def _joined(self, rows: np.ndarray, behind: np.ndarray) -> np.ndarray:
        return np.concatenate([rows[: self._given], behind])
