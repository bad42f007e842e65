# SPDX-License-Identifier: Apache-2.0
"""Which unit of a quantised model is at fault, and the line that says so.

A unit is the embedding, the attention or the MLP of a layer with the norm in front of it, or the
head. The lowest own figure points to it, with two exceptions. What took the residual's range is at
fault, not the place where the error shows, if the rounding of the stream to INT16 explains it,
since one scale serves all layers; or if a channel of the stream is loud in every token, since one
step serves all tokens of a norm's output. And where no unit is below the limit on its own, that one
is at fault behind which the accumulated error has grown most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.error_figures import PERCENTILE, ErrorFigures
from meadow.golden.tiers.float_tier import FloatModel

__all__ = ["LEAST_COSINE", "Fault", "LayerError", "UnitError", "find_fault"]

LEAST_COSINE = 0.98
"""A cosine at the worst percentile below this is a warning."""

_EXPLAINS = 0.25
"""Part of a unit's error from which on the rounding of the stream is held to be its cause."""

_OUTLIER = 100.0
"""A norm gain, or a channel of the residual, of so many median ones is an outlier."""


@dataclass(frozen=True, eq=False)
class UnitError:
    """Errors in the stream behind a unit: `embedding`, `layers.{i}.attention` or `.mlp`, or `head`.

    accumulated: of the integers on their own; own: of this unit alone; rounding: worst cosine if
    the unit is in float and nothing but the stream in front of it and behind it is rounded to
    INT16;
    reach: largest float value of each channel [d] over the tokens that count, none of the head.
    """

    name: str
    accumulated: ErrorFigures
    own: ErrorFigures
    rounding: float
    reach: np.ndarray

    @property
    def is_rounding(self) -> bool:
        """Whether the resolution of the residual explains the own error."""
        return 1 - self.rounding >= _EXPLAINS * (1 - self.own.cosine_worst)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the own figures."""
        own = dataclasses.asdict(self.own)
        return {"name": self.name} | own | {"rounding_cosine_worst": self.rounding}


@dataclass(frozen=True)
class LayerError:
    """The units of `embedding`, `layers.{i}` or `head`; the last one has the layer's result."""

    name: str
    units: tuple[UnitError, ...]

    @property
    def figures(self) -> ErrorFigures:
        """The accumulated error behind the layer."""
        return self.units[-1].accumulated

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the accumulated figures, and the own ones of each unit."""
        own = [unit.to_dict() for unit in self.units]
        return {"name": self.name} | dataclasses.asdict(self.figures) | {"own": own}


@dataclass(frozen=True)
class Fault:
    """unit: the one at fault, or just the least exact; seen: whose figure is lowest; cause: words
    for what is unusual about `unit`; lowest: the layer with the lowest accumulated figure."""

    unit: UnitError
    seen: UnitError
    cause: str
    lowest: LayerError

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the unit's name, and the own figures of the one that shows the fault."""
        figures = dataclasses.asdict(self.seen.own)
        return {"name": self.unit.name, "shown_by": self.seen.name} | figures

    def warnings(self, notes: Mapping[str, Any], *, tokens: int) -> tuple[str, ...]:
        """One line, or none if all is near float. notes: of the quantised model; tokens:
        measured.
        """
        least = min(self.lowest.figures.cosine_worst, self.seen.own.cosine_worst)
        if least >= LEAST_COSINE:
            return ()
        unit, accumulated = self.unit, self.lowest.figures.cosine_worst
        shown = "" if self.seen is unit else f", shown by {self.seen.name}"
        own = f"cosine {self.seen.own.cosine_worst} on its own"
        return (
            f"far from float: {unit.name} is at fault{shown} ({own}, {accumulated} with all errors "
            f"behind {self.lowest.name}; at least {LEAST_COSINE} is asked for at percentile "
            f"{PERCENTILE} of {tokens} tokens){self.cause}. Try {_remedy(notes)}",
        )


def find_fault(
    layers: Sequence[LayerError], real: FloatModel, statistics: CalibrationStatistics
) -> Fault:
    """The fault among the errors of all layers, in order of flow; statistics: of the
    calibration.
    """
    units = [unit for layer in layers for unit in layer.units]
    lowest = min(layers, key=lambda layer: layer.figures)
    seen = min(units, key=lambda unit: unit.own)
    if seen.own.cosine_worst >= LEAST_COSINE:
        if lowest.figures.cosine_worst < LEAST_COSINE:
            seen = _growth(units)
        return Fault(seen, seen, _gain(real, seen.name), lowest)
    gain = _gain(real, seen.name)
    ranges = {unit.name: unit.reach for unit in units if unit.reach.size}
    if seen.is_rounding:
        # Sinks count here, and every token that calibration saw or that a prompt may bring.
        ranges = _ranges(real, statistics)
    name, channel, largest, usual = _loudest(ranges)
    if not seen.is_rounding and (gain or largest < _OUTLIER * usual):
        return Fault(seen, seen, gain, lowest)
    cause = (
        f"; channel {channel} of the residual reaches {largest:.4g} there, "
        f"the median one {usual:.4g}"
    )
    unit = next(unit for unit in units if unit.name == name)
    return Fault(unit, seen, _gain(real, name) + cause, lowest)


def _growth(units: Sequence[UnitError]) -> UnitError:
    """The unit behind which the accumulated cosine has fallen most."""
    before = [1.0, *(unit.accumulated.cosine_worst for unit in units)]
    return units[int(np.argmin(np.diff(before)))]


def _remedy(notes: Mapping[str, Any]) -> str:
    if "random tokens" in str(notes.get("calibration", "")):
        return "calibration on text: tokenizer.json and calibration.txt in the model's directory"
    if notes.get("granularity") == "tensor":
        return "--granularity channel"
    return "text of the model's own kind as calibration.txt, and look for outliers in these weights"


def _gain(real: FloatModel, unit: str) -> str:
    """Words for the norm gain of a unit that lies far above the median one, if one does."""
    name = "final_norm" if unit == "head" else f"{unit}_norm"
    if f"{name}.weight" not in real.tensors:
        return ""
    gains = np.abs(real.tensors[f"{name}.weight"].astype(np.float64))
    usual, channel = float(np.median(gains)), int(gains.argmax())
    if usual == 0 or gains[channel] < _OUTLIER * usual:
        return ""
    return f"; gain {channel} of {name} is {gains[channel]:.4g}, the median one {usual:.4g}"


def _ranges(real: FloatModel, statistics: CalibrationStatistics) -> dict[str, np.ndarray]:
    """Largest value [d] that each unit takes the residual to, sinks and unseen tokens too."""
    tables = [real.tensors["embed_tokens"]]
    if not real.description.rotary_base:
        tables.append(real.tensors["embed_positions"][real.description.position_offset :])
    ranges = {"embedding": np.sum([np.abs(table).max(axis=0) for table in tables], axis=0)}
    for site in statistics.maxima:
        if site.startswith("embedding"):
            unit = "embedding"
        elif ".residual_" in site:
            unit = site.replace("residual_", "").removesuffix("_norm")
        else:
            continue
        ranges[unit] = np.maximum(ranges.get(unit, 0.0), statistics.site(site))
    return ranges


def _loudest(ranges: Mapping[str, np.ndarray]) -> tuple[str, int, float, float]:
    """The first unit that takes the residual to at least half of its range, with the channel, the
    largest value and that of the median channel."""
    half = max(float(values.max()) for values in ranges.values()) / 2
    name, values = next(item for item in ranges.items() if item[1].max() >= half)
    channel = int(values.argmax())
    return name, channel, float(values[channel]), float(np.median(values))
