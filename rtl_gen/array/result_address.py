# SPDX-License-Identifier: Apache-2.0
"""Result address: says of each word that leaves the lanes where and how it is written."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.bundles import result_layout
from rtl_gen.array.latency import LaneLatency
from rtl_gen.array.schedule_bundles import result_context_layout
from rtl_gen.stream.queue import Queue
from rtl_gen.vector.bundles import result_word_layout

__all__ = ["ResultAddress"]


class ResultAddress(wiring.Component):
    """address = context.address + lane * context.stride, row = context.row + lane.

    Words come in the order of their contexts, lane by lane; the word of lane lanes_high - 1 is the last of a context.

    Members
    -------
    i_context : In({valid, payload: result_context_layout}), at least 4 cycles before its first word.
    i_result : In(result_layout). o_result : Out({valid, payload: result_word_layout}).

    Latency: LATENCY cycles from i_result to o_result. Throughput: one word per cycle.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        word, context = result_word_layout(config), result_context_layout(config)
        super().__init__(
            {
                "i_context": In(data.StructLayout({"valid": 1, "payload": context})),
                "i_result": In(result_layout(config)),
                "o_result": Out(data.StructLayout({"valid": 1, "payload": word})),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        # Contexts in flight: one every W/2R cycles while a word is on its way.
        flight = LaneLatency.of(config).result + config.lanes + 8
        depth = 4 + -(-flight // (config.step_cycles // 2))
        m.submodules.contexts = contexts = Queue(shape=result_context_layout(config), depth=depth)
        context = contexts.o.payload
        m.d.comb += [
            contexts.i.valid.eq(self.i_context.valid),
            contexts.i.payload.eq(self.i_context.payload),
            contexts.o.ready.eq(
                self.i_result.valid & (self.i_result.lane == context.lanes_high - 1)
            ),
        ]
        held = Signal(result_context_layout(config))
        product = Signal(20)
        lane = Signal(range(max(2, config.lanes)))
        word = Signal(8 * config.width)
        valid = Signal()
        m.d.sync += [
            valid.eq(self.i_result.valid),
            word.eq(self.i_result.data),
            lane.eq(self.i_result.lane),
            product.eq(self.i_result.lane * context.stride),
            held.eq(context),
        ]
        out = self.o_result.payload
        m.d.sync += [
            self.o_result.valid.eq(valid),
            out.address.eq(held.address + product),
            out.row.eq(held.row + lane),
            out.data.eq(word),
        ]
        for name in ("mask", "mode", "channel", "elements", "restart"):
            m.d.sync += getattr(out, name).eq(getattr(held, name))
        return m
