# SPDX-License-Identifier: Apache-2.0
"""What a language model makes of a text: perplexity, and how far another one is from it.

For a token y that follows a context, with p the probabilities of the reference and q those of the
measured model:

- perplexity: ``exp(mean(-log p(y)))``, the same of q, and the ratio of the two;
- KL: ``mean(sum over the vocabulary of p * log(p / q))``, in nats per token. It sees what the ratio
  does not: a model that is wrong in both directions as often;
- top-1 agreement: how often both rank the same token first.

Windows run through both models layer by layer, so that a model needs only one of its layers at a
time, and so that both can be compared behind each of them. Shape letters: n tokens, d width, V
vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from meadow.golden.tiers.float_tier import FloatModel

__all__ = ["FloatStream", "Stream", "TextFigures", "Window", "compare_on_text"]

_ROWS = 64
"""Rows of logits that are looked at together: a vocabulary is wide."""

Advance = Callable[[float], object]

Look = Callable[[int, Sequence[np.ndarray], Sequence[np.ndarray]], object]


@dataclass(frozen=True)
class Window:
    """A piece of text as a model sees it.

    tokens : from position 0 on, integers ``[n]``.
    given : tokens at its beginning that are not predicted, at least 1.
    """

    tokens: np.ndarray
    given: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.given < len(self.tokens):
            raise ValueError(
                f"a window must have at least 1 token that is given and one that follows, not "
                f"{self.given} of {len(self.tokens)}"
            )


class Stream(Protocol):
    """A model that windows go through layer by layer; rows are whatever it has as its residual."""

    layers: int

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """Rows ``[n, d]`` in front of the first layer."""
        ...

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """Rows behind a layer."""
        ...

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Logits ``[n, V]`` in float, from rows behind the last layer."""
        ...


class FloatStream:
    """The float tier as a `Stream`."""

    def __init__(self, model: FloatModel) -> None:
        self._model = model
        self.layers = model.description.layers

    def start(self, tokens: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        return self._model.embed(tokens, np.arange(len(tokens)))

    def layer(self, index: int, rows: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        model = self._model
        rows = model.attention_sublayer(index, rows, model.new_cache(len(rows)))
        return model.mlp_sublayer(index, rows)

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """See `Stream`."""
        return self._model.output(rows)


@dataclass
class TextFigures:
    """Sums over predicted tokens; figures are means of them.

    tokens : predicted so far.
    reference_loss, measured_loss : sums of ``-log p(y)`` and ``-log q(y)``.
    divergence : sum of the KL divergences in nats.
    agreements : tokens where both rank the same token first.
    """

    tokens: int = 0
    reference_loss: float = 0.0
    measured_loss: float = 0.0
    divergence: float = 0.0
    agreements: int = 0

    def add(self, reference: np.ndarray, measured: np.ndarray, targets: np.ndarray) -> None:
        """Take in logits ``[n, V]`` of both models for the tokens ``[n]`` that follow."""
        if not reference.shape == measured.shape == (len(targets), reference.shape[1]):
            raise ValueError(
                f"logits must have a row for each of {len(targets)} tokens, not "
                f"{list(reference.shape)} and {list(measured.shape)}"
            )
        for start in range(0, len(targets), _ROWS):
            rows = slice(start, start + _ROWS)
            self._add(reference[rows], measured[rows], targets[rows])

    def _add(self, reference: np.ndarray, measured: np.ndarray, targets: np.ndarray) -> None:
        index = np.arange(len(targets))
        log_p, log_q = _log_softmax(reference), _log_softmax(measured)
        self.tokens += len(targets)
        self.reference_loss -= float(log_p[index, targets].sum())
        self.measured_loss -= float(log_q[index, targets].sum())
        self.divergence += float((np.exp(log_p) * (log_p - log_q)).sum())
        self.agreements += int((log_p.argmax(axis=1) == log_q.argmax(axis=1)).sum())

    @property
    def reference_perplexity(self) -> float:
        """Of the reference."""
        return self._perplexity(self.reference_loss)

    @property
    def measured_perplexity(self) -> float:
        """Of the measured model."""
        return self._perplexity(self.measured_loss)

    @property
    def ratio(self) -> float:
        """Perplexity of the measured model over that of the reference."""
        return self._perplexity(self.measured_loss - self.reference_loss)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; ValueError if no token was predicted."""
        return {
            "tokens": self.tokens,
            "perplexity": {
                "float": self.reference_perplexity,
                "integer": self.measured_perplexity,
            },
            "ratio": self.ratio,
            "kl_nats": self.divergence / self.tokens,
            "top1_agreement": self.agreements / self.tokens,
        }

    def _perplexity(self, loss: float) -> float:
        if not self.tokens:
            raise ValueError("figures of a text need at least one predicted token, not none")
        mean = loss / self.tokens
        return math.exp(mean) if mean < math.log(1e300) else math.inf


def compare_on_text(
    reference: Stream,
    measured: Stream | None,
    windows: Sequence[Window],
    *,
    advance: Advance | None = None,
    look: Look | None = None,
) -> TextFigures:
    """Figures of both models over windows; without a second model of the reference against itself.

    advance : called with the share of the work that was done since the last call; all shares
        together are 1.
    look : called with the number of a layer and the rows of every window behind it in both models,
        from -1 on, which is in front of the first one. The rows must not be written to.

    ValueError if there is no window, or if the models differ in their layers.
    """
    if not windows:
        raise ValueError("a text must have at least one window, not none")
    if measured is not None and measured.layers != reference.layers:
        raise ValueError(
            f"both models must have {reference.layers} layers, not one of them {measured.layers}"
        )
    step = advance if advance is not None else _ignore
    streams = [reference] if measured is None else [reference, measured]
    layers = reference.layers
    # Behind the layers stands the head, which is as wide as the vocabulary.
    share = 1 / (len(windows) * (layers * len(streams) + 1))
    rows = [[stream.start(window.tokens) for window in windows] for stream in streams]
    for index in range(-1, layers):
        for stream, parts in zip(streams, rows, strict=True):
            for at, part in enumerate(parts if index >= 0 else ()):
                parts[at] = stream.layer(index, part)
                step(share)
        if look is not None:
            look(index, rows[0], rows[-1])
    figures = TextFigures()
    for index, window in enumerate(windows):
        # Row t predicts token t + 1; the last token predicts nothing.
        used = slice(window.given - 1, len(window.tokens) - 1)
        logits = [s.logits(part[index][used]) for s, part in zip(streams, rows, strict=True)]
        figures.add(logits[0], logits[-1], window.tokens[window.given :])
        step(share)
    return figures


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def _ignore(share: float) -> None:
    """Nobody waits."""
