# SPDX-License-Identifier: Apache-2.0
"""Result address: says of each word that leaves the lanes where and how it is written."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.queue import Queue
from rtl_gen.interfaces.lane import result_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS
from rtl_gen.interfaces.result import result_word_layout
from rtl_gen.interfaces.schedule import result_context_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["ResultAddress"]


class ResultAddress(wiring.Component):
    """Word of lane t: address + (t div heads) * stride + (t mod heads) * head_stride, row + t div
    heads, operand + (t div heads) * operand_stride, all else of its context.

    Words come in the order of their contexts, lanes 0, 1, .. lanes - 1 of each; so the sums are
    formed one by one, without division or multiplication.

    Members
    -------
    i_context: In stream of result_context_layout, always ready, at least 4 cycles before its first
        word.
    i_result: In stream of result_layout, always ready.
    o_result: Out stream of result_word_layout, always ready.

    Latency: LATENCY cycles from i_result to o_result. Throughput: one word per cycle.
    """

    LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        context, result, word = (
            stream.Signature(layout(config), always_ready=True)
            for layout in (result_context_layout, result_layout, result_word_layout)
        )
        super().__init__(
            {
                "i_context": In(context),
                "i_result": In(result),
                "o_result": Out(word),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        # Contexts in flight: one every W/2R cycles while a word is on its way.
        flight = LaneLatency.of(config).result + config.lanes + 8
        depth = 4 + -(-flight // (config.tile_cycles // 2))
        m.submodules.contexts = contexts = Queue(shape=result_context_layout(config), depth=depth)
        context = contexts.o.payload
        m.d.comb += [
            contexts.i.valid.eq(self.i_context.valid),
            contexts.i.payload.eq(self.i_context.payload),
            contexts.o.ready.eq(
                self.i_result.valid & (self.i_result.payload.lane == context.lanes - 1)
            ),
        ]
        held = Signal(result_context_layout(config), reset_less=True)
        word = Signal(8 * config.width, reset_less=True)
        valid = Signal()
        first = Signal(reset_less=True)
        m.d.sync += [
            valid.eq(self.i_result.valid),
            word.eq(self.i_result.payload.data),
            first.eq(self.i_result.payload.lane == 0),
            held.eq(context),
        ]

        out = payload_register(m, self.o_result.payload, "out")
        destination, walk = held.destination, held.destination.walk
        token_address = Signal(ADDRESS_BITS, reset_less=True)  # of head 0 of the last word's token
        heads_left = Signal(walk.heads.shape(), reset_less=True)  # of that token
        next_token = heads_left == 0
        base = Mux(next_token, token_address, out.address)
        following = Signal(ADDRESS_BITS)
        m.d.comb += following.eq(base + Mux(next_token, walk.stride, walk.head_stride))
        m.d.sync += [
            self.o_result.valid.eq(valid),
            out.data.eq(word),
            out.half.eq(held.half),
            out.elements.eq(held.elements),
            out.shift.eq(destination.post_shift),
            out.mask.eq(destination.mask),
            out.mode.eq(destination.result),
            out.channel.eq(destination.channel),
            out.restart.eq(destination.restart),
            out.command.eq(destination.command),
        ]
        with m.If(valid & first):
            m.d.sync += [
                out.address.eq(walk.base),
                out.operand.eq(destination.operand),
                out.row.eq(destination.row),
                token_address.eq(walk.base),
                heads_left.eq(walk.heads - 1),
            ]
        with m.Elif(valid):
            m.d.sync += [out.address.eq(following), heads_left.eq(heads_left - 1)]
            with m.If(next_token):
                m.d.sync += [
                    out.operand.eq(out.operand + destination.operand_stride),
                    out.row.eq(out.row + 1),
                    token_address.eq(following),
                    heads_left.eq(walk.heads - 1),
                ]
        return m
