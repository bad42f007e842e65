# SPDX-License-Identifier: Apache-2.0
"""How far the integers of a quantised model are from the float checkpoint, sublayer by sublayer.

Two errors are taken at every place of the residual stream, both against the float tier. The
*accumulated* one is that of the integers running on their own from the tokens on. The *own* one is
that of a single unit (the embedding, an attention, an MLP, the head) which starts from the float
stream rounded to the residual's INT16: it does not inherit what went wrong before it. It is
measured in the stream behind the unit, so that one which adds little is not blamed for rounding it.

Everything runs layer by layer over all sequences, so that only one layer's rows are held. Of a
model with a prefix its tokens stand at the beginning of every sequence: in float they are computed,
the integers have their keys and values, and no figure counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.error_figures import PERCENTILE, Yardstick, far_tokens
from meadow.compiler.quantise.fault import LEAST_COSINE, Fault, LayerError, UnitError, find_fault
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel

__all__ = ["MEASURED_TOKENS", "Accuracy", "measure_accuracy"]

MEASURED_TOKENS = 1024
"""Tokens that are measured at most: enough for a percentile, and seconds for a small model."""

_PRODUCTS = 1 << 35
_LEAST_TOKENS = 128
"""Of a large model fewer tokens are measured: so many times its parameters, but not below these."""

_DISTINCT = 8
"""Of fewer different tokens the mean row is most of every row; then nothing is centred."""

_INT16 = (1 << 15) - 1

Rows = list[np.ndarray]
"""Rows of a place, one array [tokens, channels] per sequence."""

Step = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Errors of a model over a text.

    tokens: measured; sinks: tokens among them that are left out, as they lie far from all others;
    sink_positions: where those stand; centred: whether the mean row was subtracted; layers: in
    order of flow; fault: the unit at fault, or just the least exact one; warnings: one line that
    says so, if a figure is below `LEAST_COSINE`.
    """

    tokens: int
    sinks: int
    sink_positions: tuple[int, ...]
    centred: bool
    layers: tuple[LayerError, ...]
    fault: Fault
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "tokens": self.tokens,
            "sinks": self.sinks,
            "sink_positions": list(self.sink_positions),
            "centred": self.centred,
            "percentile": PERCENTILE,
            "least_cosine": LEAST_COSINE,
            "worst": self.fault.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
            "warnings": list(self.warnings),
        }


def measure_accuracy(
    real: FloatModel,
    tier: BitTrueModel,
    sequences: Sequence[Sequence[int] | np.ndarray],
    statistics: CalibrationStatistics,
    *,
    context: int | None = None,
    tokens: int | None = None,
) -> Accuracy:
    """Compare the bit-true tier with the float tier of the same model on token sequences.

    real: in float64 if the figures must not depend on the machine or on its threads.

    sequences: start at position 0, with the prefix if the model has one, each cut to `context` (by
    default what model and configuration allow) and all together to `tokens`, by default at most
    `MEASURED_TOKENS`; statistics: of the calibration, to name what took the residual's range.
    ValueError if there is no token, or one that the model does not have.
    """
    if tokens is None:
        tokens = max(_LEAST_TOKENS, _PRODUCTS // real.description.parameters)
        tokens = min(MEASURED_TOKENS, tokens)
    given = tier.model.start
    limit = min(real.description.max_positions, tier.config.max_context)
    ids = _cut(sequences, min(limit, context or limit), tokens, given)
    kept = _kept(real, ids, given)
    chosen = np.concatenate(kept)
    centred = len(np.unique(np.concatenate(ids)[chosen])) >= _DISTINCT
    layers = _Comparison(real, tier, ids, kept, centred=centred).layers()
    fault = find_fault(layers, real, statistics)
    warnings = fault.warnings(tier.model.notes, tokens=int(chosen.sum()))
    places = np.concatenate([np.arange(len(part)) for part in ids])
    sinks = ~chosen & (places >= given)
    return Accuracy(
        tokens=int((places >= given).sum()),
        sinks=int(sinks.sum()),
        sink_positions=tuple(np.unique(places[sinks]).tolist()),
        centred=centred,
        layers=layers,
        fault=fault,
        warnings=warnings,
    )


def _cut(
    sequences: Sequence[Sequence[int] | np.ndarray], limit: int, tokens: int, given: int
) -> list[np.ndarray]:
    """The first `limit` tokens of each sequence until there are `tokens` behind the `given` ones;
    none is empty.
    """
    ids: list[np.ndarray] = []
    left = tokens
    for sequence in sequences:
        part = np.asarray(sequence)[: min(limit, left + given)]
        if len(part) > given:
            left -= len(part) - given
            ids.append(part)
    if not ids:
        raise ValueError("accuracy needs at least one token, not none")
    return ids


def _kept(real: FloatModel, ids: list[np.ndarray], given: int) -> list[np.ndarray]:
    """Which tokens of each sequence are behind the `given` ones and are no sinks at any place of
    the float stream.
    """
    d = real.description
    behind = np.concatenate([np.arange(len(part)) >= given for part in ids])
    far = ~behind

    def look(x: Rows) -> None:
        far[behind] |= far_tokens(np.concatenate(x)[behind])

    x = [real.embed(part, np.arange(len(part))) for part in ids]
    look(x)
    for index in range(d.layers):
        x = [real.attention_sublayer(index, rows, real.new_cache(len(rows))) for rows in x]
        look(x)
        x = [real.mlp_sublayer(index, rows) for rows in x]
        look(x)
    return np.split(~far, np.cumsum([len(part) for part in ids])[:-1])


class _Comparison:
    """The float stream and the integers' own stream, moved on together from unit to unit."""

    def __init__(
        self,
        real: FloatModel,
        tier: BitTrueModel,
        ids: list[np.ndarray],
        kept: list[np.ndarray],
        *,
        centred: bool,
    ) -> None:
        self.real, self.tier, self.kept, self.centred = real, tier, kept, centred
        self.stream, self.given = IntegerStream(tier), tier.model.start
        self.unit = tier.model.residual_scale
        positions = [np.arange(len(part)) for part in ids]
        self.x = [real.embed(*pair) for pair in zip(ids, positions, strict=True)]
        self.y = [self.stream.start(part) for part in ids]

    def layers(self) -> tuple[LayerError, ...]:
        """Errors of all places in order of flow."""
        real, stream = self.real, self.stream
        start = self._compare("embedding", self.x, self.y, self._rounded(self.x))
        found = [LayerError("embedding", (start,))]
        for index in range(real.description.layers):
            attention = self._advance(
                f"layers.{index}.attention",
                lambda rows, i=index: real.attention_sublayer(i, rows, real.new_cache(len(rows))),
                lambda rows, i=index: stream.attention(i, rows),
            )
            mlp = self._advance(
                f"layers.{index}.mlp",
                lambda rows, i=index: real.mlp_sublayer(i, rows),
                lambda rows, i=index: stream.mlp(i, rows),
            )
            found.append(LayerError(f"layers.{index}", (attention, mlp)))
        return (*found, LayerError("head", (self._head(),)))

    def _advance(self, name: str, real: Step, integer: Step) -> UnitError:
        """Take both streams through a unit, whose steps turn rows into rows, and compare."""
        start = self._rounded(self.x)
        given = self.given
        begun = [
            # The prefix is not rounded: its residual never runs through integers.
            np.concatenate([x[:given], self._real(rows)[given:]])
            for x, rows in zip(self.x, start, strict=True)
        ]
        rounded = self._rounded([real(rows) for rows in begun])
        own = [integer(rows) for rows in start]
        self.x, self.y = [real(rows) for rows in self.x], [integer(rows) for rows in self.y]
        return self._compare(name, self.x, own, rounded)

    def _compare(self, name: str, x: Rows, own: Rows, rounded: Rows) -> UnitError:
        """Errors behind a unit: float rows, the unit's own integers, the float rows but for
        INT16.
        """
        references = self._chosen(x)
        yardstick = Yardstick(references, centred=self.centred)
        accumulated, alone, rounding = (
            yardstick.figures(self._chosen(rows), self.unit) for rows in (self.y, own, rounded)
        )
        reach = np.abs(np.concatenate(references)).max(axis=0)
        return UnitError(name, accumulated, alone, rounding.cosine_worst, reach)

    def _head(self) -> UnitError:
        """Final norm and logits; of a model with the outputs "hidden" its last norm.

        Logits are made when they are compared, a sequence at a time: a vocabulary is wide.
        """
        real, tier = self.real, self.tier
        logits = real.description.outputs == "tokens"
        references = [real.output(rows) for rows in self._chosen(self.x)]
        yardstick = Yardstick(references, centred=self.centred, relative=logits)
        unit = tier.model.logits_scale if logits else self.unit
        start = self._chosen(self._rounded(self.x))
        accumulated, own = (
            yardstick.figures((tier.output(rows) for rows in stream), unit)
            for stream in (self._chosen(self.y), start)
        )
        rounding = yardstick.figures(real.output(self._real(rows)) for rows in start)
        return UnitError("head", accumulated, own, rounding.cosine_worst, np.zeros(0))

    def _chosen(self, rows: Rows) -> Rows:
        return [part[chosen] for part, chosen in zip(rows, self.kept, strict=True)]

    def _rounded(self, x: Rows) -> Rows:
        """Float rows as the residual's INT16."""
        return [
            np.clip(np.rint(rows / self.unit), -_INT16 - 1, _INT16).astype(np.int16) for rows in x
        ]

    def _real(self, rows: np.ndarray) -> np.ndarray:
        """The real values of INT16 rows."""
        return rows.astype(self.real.dtype) * self.real.dtype(self.unit)
