# SPDX-License-Identifier: Apache-2.0
"""How far rows of integers are from rows of floats, token by token, and which tokens stand apart.

A plain cosine between two residual rows can hide a fault: one channel that is large in every token,
or a part that all tokens have in common, holds it near 1 whatever becomes of the rest. Less what
tokens have in common it can hide another: a token that is nearly zero but for its noise. A
`Yardstick` looks both ways and takes the lower figure. Shape letters: n tokens, c channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["PERCENTILE", "ErrorFigures", "Yardstick", "far_tokens", "overall_figures"]

PERCENTILE = 1
"""The worst figure is the one that this percentage of tokens does not reach, rounded down."""

SINK_RATIO = 10.0
_ALIKE = 1e-3
_SNR_LIMIT_DB = 120.0
_TINY = 1e-300


@dataclass(frozen=True, order=True)
class ErrorFigures:
    """Cosine and signal-to-noise ratio in dB over tokens: at the worst percentile, and the median.

    Figures are rounded to 4 and 1 decimals, which is far coarser than the rounding of the sums
    behind them; they sort by the worst cosine.
    """

    cosine_worst: float
    cosine_median: float
    snr_db_worst: float
    snr_db_median: float

    @classmethod
    def over(cls, cosine: np.ndarray, snr_db: np.ndarray) -> ErrorFigures:
        """Figures of tokens [n], n at least 1. Of up to 100 tokens the worst one counts."""

        def worst(values: np.ndarray) -> float:
            return float(np.percentile(values, PERCENTILE, method="lower"))

        return cls(
            cosine_worst=_rounded(worst(cosine), 4),
            cosine_median=_rounded(float(np.median(cosine)), 4),
            snr_db_worst=_rounded(worst(snr_db), 1),
            snr_db_median=_rounded(float(np.median(snr_db)), 1),
        )


class Yardstick:
    """Measures rows [n, c] against reference rows: of each token the lower figure of two views.

    The first view is the rows as they are. In the second the mean reference row is subtracted from
    both sides, and channel i is divided by

        s_i = max(rms_i, median over channels of rms),

    rms_i being taken over the reference rows less their mean. So a channel that is louder than the
    usual one is turned down to it, a quieter one is not turned up: what it carries is worth no more
    than it is, and the rounding error of a silent channel stays small.

    references: parts of the reference, [n, c] each, with at least one row in all; centred: subtract
    the mean row, which a text of (nearly) one token only must not do; relative: in the second view
    subtract from each row its own mean first, which a softmax does not see.
    """

    def __init__(
        self, references: Sequence[np.ndarray], *, centred: bool = True, relative: bool = False
    ) -> None:
        self._relative = relative
        self._references = references
        count = sum(map(len, references))
        channels = references[0].shape[1]
        total = sum((rows.sum(axis=0) for rows in self._wide()), np.zeros(channels))
        self._mean = total / count if centred else np.zeros(channels)
        power = np.zeros(channels)
        for rows in self._wide():
            power += np.square(rows - self._mean).sum(axis=0)
        rms = np.sqrt(power / count)
        scale = np.maximum(rms, np.median(rms))
        self._scale = np.where(scale > 0, scale, 1.0)

    def figures(self, measured: Iterable[np.ndarray], unit: float = 1.0) -> ErrorFigures:
        """Figures of measured rows times `unit`, in parts as the reference came in."""
        cosines, ratios = [], []
        for reference, rows in zip(self._references, measured, strict=True):
            want, got = reference.astype(np.float64), rows.astype(np.float64) * unit
            plain = _compare(want, got)
            turned = _compare(self._turned(want), self._turned(got))
            cosines.append(np.minimum(plain[0], turned[0]))
            ratios.append(np.minimum(plain[1], turned[1]))
        return ErrorFigures.over(np.concatenate(cosines), np.concatenate(ratios))

    def _turned(self, rows: np.ndarray) -> np.ndarray:
        """Rows as the second view has them."""
        return (self._own(rows) - self._mean) / self._scale

    def _own(self, rows: np.ndarray) -> np.ndarray:
        return rows - rows.mean(axis=1, keepdims=True) if self._relative else rows

    def _wide(self) -> Iterator[np.ndarray]:
        """The references in float64; sums in float32 would round differently on other machines."""
        for rows in self._references:
            yield self._own(rows.astype(np.float64))


def far_tokens(rows: np.ndarray) -> np.ndarray:
    """Which tokens [n] stand far apart from the others: rows [n, c] -> bool.

    A token's distance is the largest |difference| of a channel from the median token's. Attention
    sinks with massive activations (arXiv 2402.17762) lie hundreds of usual distances away; more
    than `SINK_RATIO` medians of the distances count as far. At most half of the tokens can be.
    Where most tokens are alike the median distance says nothing, and a thousandth of the largest
    value of a usual token takes its place.
    """
    distance = np.abs(rows - np.median(rows, axis=0)).max(axis=1)
    largest = np.abs(rows).max(axis=1)
    usual = max(float(np.median(distance)), _ALIKE * float(np.median(largest)))
    return distance > SINK_RATIO * usual


def overall_figures(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Cosine and signal-to-noise ratio in dB of all values of (reference, measured) together.

    The ratio stays within +-120 dB, and the cosine of nothing but zeros is 1 if both sides are.
    """
    want, got, product, noise = 0.0, 0.0, 0.0, 0.0
    for reference, measured in pairs:
        x, y = reference.astype(np.float64), measured.astype(np.float64)
        want += float(np.square(x).sum())
        got += float(np.square(y).sum())
        product += float((x * y).sum())
        noise += float(np.square(x - y).sum())
    cosine, ratio = _ratios(*(np.array([value]) for value in (want, got, product, noise)))
    return _rounded(float(cosine[0]), 6), _rounded(float(ratio[0]), 2)


def _compare(want: np.ndarray, got: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine [n] and signal-to-noise ratio in dB [n] of rows [n, c].

    The cosine with a row of zeros is 1 if both are, else 0; the ratio stays within +-120 dB, the
    most that float32 can tell.
    """
    squares = np.square(want).sum(axis=1), np.square(got).sum(axis=1)
    return _ratios(*squares, (want * got).sum(axis=1), np.square(want - got).sum(axis=1))


def _ratios(
    signal: np.ndarray, size: np.ndarray, product: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and decibels from sums of squares, of products and of squared differences."""
    norms = np.sqrt(signal) * np.sqrt(size)
    alike = np.where(noise > 0, 0.0, 1.0)
    cosine = np.where(norms > 0, product / np.where(norms > 0, norms, 1.0), alike)
    ratio = np.log10(np.maximum(signal, _TINY)) - np.log10(np.maximum(noise, _TINY))
    decibels = np.where(noise > 0, 10 * ratio, _SNR_LIMIT_DB)
    return cosine, np.clip(decibels, -_SNR_LIMIT_DB, _SNR_LIMIT_DB)


def _rounded(value: float, digits: int) -> float:
    """Rounded, without a negative zero."""
    return round(value, digits) + 0.0
