# SPDX-License-Identifier: Apache-2.0
"""Calibration: what ranges the activations of a checkpoint take on sample text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.golden.tiers.float_tier import FloatModel

__all__ = ["CalibrationStatistics", "calibrate"]

LOGITS_SITE = "logits"


@dataclass(frozen=True, eq=False, kw_only=True)
class CalibrationStatistics:
    """Absolute maxima over all calibration tokens.

    maxima: site of the float tier, and `logits` -> float64 [channels], largest |value| seen;
    tokens: tokens they were taken over.
    """

    maxima: Mapping[str, np.ndarray]
    tokens: int

    def site(self, name: str) -> np.ndarray:
        """Maxima [channels] of a site; ValueError if it was not seen or is not finite."""
        if name not in self.maxima:
            raise ValueError(f"the calibration statistics must hold the site {name}")
        maxima = self.maxima[name]
        if not np.isfinite(maxima).all():
            raise ValueError(f"calibration maxima must be finite, not so at {name}")
        return maxima

    @property
    def residual(self) -> float:
        """Largest |value| of the residual stream anywhere."""
        return max(
            float(self.site(name).max(initial=0.0))
            for name in self.maxima
            if name == "embedding" or ".residual_" in name
        )


def calibrate(
    checkpoint: Checkpoint, sequences: Iterable[Sequence[int] | np.ndarray]
) -> CalibrationStatistics:
    """Run the float tier over token sequences and keep every site's maxima.

    Sequences start at position 0; one longer than `max_positions` is cut. The tier runs in float64
    and maxima are rounded to float32, so that neither machine nor threads change a bit of what is
    made from them. ValueError if there is no token.
    """
    model = FloatModel(checkpoint.description, checkpoint.tensors, np.float64)
    maxima: dict[str, np.ndarray] = {}

    def observe(site: str, array: np.ndarray) -> None:
        seen = np.abs(array).max(axis=0).astype(np.float32).astype(np.float64)
        maxima[site] = np.maximum(maxima[site], seen) if site in maxima else seen

    tokens = 0
    for sequence in sequences:
        ids = np.asarray(sequence)[: checkpoint.description.max_positions]
        if ids.size == 0:
            continue
        observe(LOGITS_SITE, model.forward(ids, observe=observe))
        tokens += len(ids)
    if tokens == 0:
        raise ValueError("calibration needs at least one token, not none")
    return CalibrationStatistics(maxima=maxima, tokens=tokens)
