# SPDX-License-Identifier: Apache-2.0
"""Attention of the layer-by-layer baseline, as a program: Q, scores and probabilities travel to
DRAM and back.

MEADOW compares with a GEMM execution, where every product is a matrix multiply of its own and
softmax is an operator between two of them. It runs on the same array, vector unit and DMA as TPHS
attention and is given what helps it: INT8 Q, masked key blocks neither stored nor loaded, units of
rows so large as memory allows, and, with two score areas, the scores of the next unit computed
while those of this one travel.
"""

from __future__ import annotations

from typing import Any

from meadow.compiler.lowering.attention import attend_fields
from meadow.compiler.lowering.baseline.gemm_plan import GemmPart, GemmPlan, GemmUnit
from meadow.compiler.lowering.baseline.predict import best_gemm_plan
from meadow.compiler.lowering.layout import CompileError
from meadow.compiler.lowering.lowering import Lowering
from meadow.model.quantised import QuantisedLayer
from meadow.spec.commands import AttendPart, Flag, Opcode, RowSet, Space, TrafficClass

__all__ = ["gemm_heads"]


def gemm_heads(lowering: Lowering, index: int, layer: QuantisedLayer) -> None:
    """Attention of all heads of a layer in place of Q, for the one step that the program is made
    for.

    Regions "gemm_query" and "gemm_scores" hold what travels. CompileError without a step, or if not
    even one token group of scores fits on the chip.
    """
    if lowering.step is None:
        raise CompileError(
            "the dataflow gemm must be compiled for one step (position, tokens), not for any"
        )
    plan = best_gemm_plan(
        lowering.model.description, lowering.config, lowering.plan, lowering.step, lowering.rate
    )
    _Heads(lowering, plan, index, layer).lower()


class _Heads:
    """The heads of a layer. Query heads are numbered KV head by KV head."""

    def __init__(
        self, lowering: Lowering, plan: GemmPlan, index: int, layer: QuantisedLayer
    ) -> None:
        self.emit = lowering.assembler.emit
        self.name, self.plan, self.query = f"layers.{index}.", plan, lowering.plan.query
        self.beats, self.words = plan.config.word_beats, lowering.heads.blocks
        self.attend = [
            attend_fields(lowering, index, layer, head, member)
            for head in range(lowering.heads.kv_heads)
            for member in range(lowering.heads.group)
        ]
        largest = max(sum(part.rows * part.words for part in unit.parts) for unit in plan.units)
        self.unit_beats = largest * self.beats
        needed = {
            "gemm_query": plan.tokens * self.query.stride * self.beats,
            "gemm_scores": self.unit_beats * len(plan.bases),
        }
        for region, beats in needed.items():
            lowering.regions[region] = max(beats, lowering.regions.get(region, 0))

    def lower(self) -> None:
        """Q out; then unit by unit. With two areas the array works one unit ahead of what travels:
        a STORE waits for the whole array, so that the next unit's scores are stored just before
        this one's values are begun."""
        self._store_query()
        units = [(head, unit) for head in range(len(self.attend)) for unit in self.plan.units]
        ahead = len(self.plan.bases) - 1
        loaded: set[int] = set()
        for index in range(len(units) + ahead):
            behind = index - ahead
            if index < len(units):
                head, unit = units[index]
                # Heads below W share words, which hold the output of one when the next one comes.
                place = self.attend[head]["query"]
                if place not in loaded:
                    self._load_query(place, first=not loaded)
                    loaded.add(place)
                self._attend(index, head, unit, AttendPart.SCORES)
                if not ahead:
                    self._store_scores(index, head, unit)
            if behind >= 0:
                self._softmax(behind, *units[behind])
            if ahead and index < len(units):
                self._store_scores(index, *units[index])
            if behind >= 0:
                self._attend(behind, *units[behind], AttendPart.VALUES)

    def _store_query(self) -> None:
        """Q of all heads, head after head (or word after word), the rows of each without gaps."""
        self.emit(
            f"{self.name}attend.q_store",
            Opcode.STORE,
            region="gemm_query",
            source=self.query.base,
            source_stride=self.query.stride,
            offset=0,
            segments=self.query.stride // self.words,
            segment_beats=self.words * self.beats,
            segment_stride=self.plan.tokens * self.words * self.beats,
            row_set=RowSet.FIXED,
            rows=self.plan.tokens,
            traffic=TrafficClass.ACTIVATIONS,
        )

    def _base(self, index: int) -> int:
        return self.plan.bases[index % len(self.plan.bases)]

    def _load_query(self, place: int, *, first: bool) -> None:
        """Q of a head, or of the heads that share its word, back to its place."""
        self.emit(
            f"{self.name}attend.q_load",
            Opcode.LOAD,
            # The first of them waits for the stores of Q, K and V.
            flags=Flag.HOLD_FETCH if first else Flag(0),
            region="gemm_query",
            destination=place,
            destination_stride=self.query.stride,
            space=Space.ACTIVATION,
            offset=(place - self.query.base) * self.plan.tokens * self.beats,
            row_beats=self.words * self.beats,
            row_set=RowSet.FIXED,
            rows=self.plan.tokens,
            traffic=TrafficClass.ACTIVATIONS,
        )

    def _attend(self, index: int, head: int, unit: GemmUnit, part: AttendPart) -> None:
        self.emit(
            f"{self.name}attend.{head}.{unit.first}.{part.name.lower()}",
            Opcode.ATTEND,
            part=part,
            heads=1,
            first=unit.first,
            rows=unit.rows,
            scores=self._base(index),
            scores_stride=self.plan.stride,
            **self.attend[head],
        )

    def _store_scores(self, index: int, head: int, unit: GemmUnit) -> None:
        """Scores out."""
        for part in unit.parts:
            self._travel("scores_store", Opcode.STORE, index, head, unit, part)

    def _softmax(self, index: int, head: int, unit: GemmUnit) -> None:
        """Scores in, softmax part by part, probabilities out and in."""
        label = f"{self.name}attend.{head}.{unit.first}"
        base = self._base(index)

        def travel(what: str, opcode: Opcode, part: GemmPart, hold: bool = False) -> None:
            self._travel(what, opcode, index, head, unit, part, hold=hold)

        before: GemmPart | None = None
        for part in unit.parts:
            travel("scores_load", Opcode.LOAD, part, part is unit.parts[0])
            self.emit(
                f"{label}.softmax",
                Opcode.SOFTMAX,
                source=base + part.first * self.plan.stride,
                source_stride=self.plan.stride,
                rows=part.rows,
                keys=self.plan.keys(unit, part.first),
                causal=int(self.plan.causal),
            )
            # One part later, so that the next one's scores are loaded first.
            if before is not None:
                travel("probabilities_store", Opcode.STORE, before)
            before = part
        travel("probabilities_store", Opcode.STORE, unit.parts[-1])
        for part in unit.parts:
            travel("probabilities_load", Opcode.LOAD, part, part is unit.parts[0])

    def _travel(
        self,
        what: str,
        opcode: Opcode,
        index: int,
        head: int,
        unit: GemmUnit,
        part: GemmPart,
        *,
        hold: bool = False,
    ) -> None:
        """Store or load the words of a part; its rows lie in DRAM without gaps behind the parts
        before it.
        """
        label = f"{self.name}attend.{head}.{unit.first}.{what}"
        region = index % len(self.plan.bases) * self.unit_beats
        before = sum(p.rows * p.words for p in unit.parts if p.first < part.first)
        first = self._base(index) + part.first * self.plan.stride + 1
        offset = region + before * self.beats
        beats = part.words * self.beats
        common: dict[str, Any] = dict(
            offset=offset,
            row_set=int(RowSet.FIXED),
            rows=part.rows,
            traffic=int(TrafficClass.ACTIVATIONS),
        )
        if opcode == Opcode.STORE:
            self.emit(
                label,
                opcode,
                region="gemm_scores",
                source=first,
                source_stride=self.plan.stride,
                segments=1,
                segment_beats=beats,
                **common,
            )
        else:
            self.emit(
                label,
                opcode,
                flags=Flag.HOLD_FETCH if hold else Flag(0),
                region="gemm_scores",
                destination=first,
                destination_stride=self.plan.stride,
                space=Space.ACTIVATION,
                row_beats=beats,
                **common,
            )
