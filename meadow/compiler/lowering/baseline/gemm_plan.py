# SPDX-License-Identifier: Apache-2.0
"""How the layer-by-layer baseline cuts attention: units of a head and a run of rows, parts that are
stored and loaded.

The baseline writes Q, the scores and the probabilities to DRAM and reads them back. Its commands
count rows, so a
program is made for one step: `tokens` new tokens after `position` cached ones of one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from meadow.spec.config import AcceleratorConfig

__all__ = ["GemmPart", "GemmPlan", "GemmUnit", "gemm_plans", "scores_stride"]


@dataclass(frozen=True)
class GemmPart:
    """Rows first .. first + rows - 1 of a unit, which all need `words` words of scores (2 per key
    block).
    """

    first: int
    rows: int
    words: int


@dataclass(frozen=True)
class GemmUnit:
    """Tokens first .. first + rows - 1 of the step against all keys that they see."""

    first: int
    rows: int
    parts: tuple[GemmPart, ...]


@dataclass(frozen=True, kw_only=True)
class GemmPlan:
    """Units of every head, the same for all.

    row_block: tokens of a unit; bases: first words of the score areas that units use in turn: with
    two, the scores of one unit are computed while those of the one before travel.
    """

    config: AcceleratorConfig
    position: int
    tokens: int
    causal: bool
    row_block: int
    bases: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Words of a row of a scores area."""
        return scores_stride(self.config, self.position + self.tokens)

    @cached_property
    def units(self) -> tuple[GemmUnit, ...]:
        """Units in ascending order of tokens."""
        return tuple(
            self._unit(first, min(self.row_block, self.tokens - first))
            for first in range(0, self.tokens, self.row_block)
        )

    def keys(self, unit: GemmUnit, row: int) -> int:
        """Keys that a row of a unit sees."""
        if self.causal:
            return self.position + unit.first + row + 1
        return self.position + self.tokens

    def _unit(self, first: int, rows: int) -> GemmUnit:
        """Parts: runs of token groups that see the same number of key blocks, as SOFTMAX counts
        them.
        """
        config = self.config
        parts: list[GemmPart] = []
        for start in range(0, rows, config.lanes):
            end = min(start + config.lanes, rows)
            seen = self.position + (first + end if self.causal else self.tokens)
            words = 2 * -(-seen // config.width)
            if parts and parts[-1].words == words and self.causal:
                old = parts.pop()
                parts.append(GemmPart(old.first, end - old.first, words))
            else:
                parts.append(GemmPart(start, end - start, words))
        if not self.causal:
            parts = _joined(parts, max(config.width // config.lanes, 1))
        return GemmUnit(first, rows, tuple(parts))


def _joined(parts: list[GemmPart], count: int) -> list[GemmPart]:
    """Neighbours of equal length joined `count` at a time, so that storing and softmax can
    overlap.
    """
    return [
        GemmPart(run[0].first, sum(part.rows for part in run), run[0].words)
        for run in (parts[start : start + count] for start in range(0, len(parts), count))
    ]


def gemm_plans(
    config: AcceleratorConfig,
    position: int,
    tokens: int,
    *,
    causal: bool,
    extents: Sequence[tuple[int, int]],
) -> list[GemmPlan]:
    """Plans whose score areas fit `extents`, (first word, words) each: two or one of as many rows
    as fit.

    Rows come in key blocks of W, in token groups where not even a key block fits. Without a causal
    mask every unit needs all keys, so that it takes all rows.
    """
    width, lanes = config.width, config.lanes
    blocks = range(-(-tokens // width), 0, -1)
    sizes = [tokens, *(width * count for count in blocks), *range(width - lanes, 0, -lanes)]
    plans = []
    for buffers in (2, 1):
        for rows in sizes if causal else [tokens]:
            words = rows * scores_stride(config, position + tokens)
            bases = _places(extents, words, buffers)
            if rows <= tokens and bases is not None:
                plans.append(
                    GemmPlan(
                        config=config,
                        position=position,
                        tokens=tokens,
                        causal=causal,
                        row_block=rows,
                        bases=bases,
                    )
                )
                break
    return plans


def scores_stride(config: AcceleratorConfig, keys: int) -> int:
    """Words of a row of a scores area: the total, and two for each block of W keys."""
    return 1 + 2 * -(-keys // config.width)


def _places(extents: Sequence[tuple[int, int]], words: int, count: int) -> tuple[int, ...] | None:
    """First words of `count` areas of `words` words, or None if they do not fit."""
    places: list[int] = []
    for base, room in extents:
        fitting = room // words
        places += [base + words * index for index in range(fitting)]
    return tuple(places[:count]) if len(places) >= count else None
