# SPDX-License-Identifier: Apache-2.0
"""Maximum of the scores of a key block."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.softmax.score import SCORE_BITS, score_layout

__all__ = ["BlockMaximum"]


class BlockMaximum(wiring.Component):
    """o_maximum = the largest of the unmasked scores of a key block; o_any: there was one.

    Members
    -------
    i: In stream of score_layout, always ready.
    o_maximum: Out, signed 16, unspecified without an unmasked score.
    o_any: Out.

    Latency: `LATENCY` = ceil(log2 R) + 1 cycles from the block's last scores to both outputs, which
    stay until the next block's first scores arrive there. Throughput: R scores per cycle.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self._levels = (config.rows - 1).bit_length()
        self.LATENCY = self._levels + 1
        super().__init__(
            {
                "i": In(stream.Signature(score_layout(config), always_ready=True)),
                "o_maximum": Out(signed(SCORE_BITS)),
                "o_any": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        scores = self.i.payload
        nodes: list[tuple[Any, Any]] = list(zip(scores.scores, scores.visible, strict=True))
        for level in range(self._levels):
            parents = []
            for index in range(0, len(nodes), 2):
                (left, left_any), (right, right_any) = nodes[index], nodes[index + 1]
                score = Signal(signed(SCORE_BITS), name=f"max_{level}_{index}", reset_less=True)
                seen = Signal(name=f"any_{level}_{index}", reset_less=True)
                take_left = left_any & (~right_any | (left > right))
                m.d.sync += [score.eq(Mux(take_left, left, right)), seen.eq(left_any | right_any)]
                parents.append((score, seen))
            nodes = parents
        score, seen = nodes[0]
        first = delayed(m, scores.first, self._levels, "first")
        valid = delayed(m, self.i.valid, self._levels, "valid", reset_less=False)
        best = Signal(signed(SCORE_BITS), reset_less=True)
        best_any = Signal(reset_less=True)
        with m.If(valid):
            m.d.sync += best_any.eq(seen | (best_any & ~first))
            with m.If(first | ~best_any | (seen & (score > best))):
                m.d.sync += best.eq(score)
        m.d.comb += [self.o_maximum.eq(best), self.o_any.eq(best_any)]
        return m
