# SPDX-License-Identifier: Apache-2.0
"""Read data of a port to the units that asked for them."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.interfaces.dma import BEAT_BITS, READ_BEAT, Route

__all__ = ["BeatRouter"]


class BeatRouter(wiring.Component):
    """Every beat to the output of its route.

    Members
    -------
    i: In stream of READ_BEAT.
    o_command: Out stream of beats without back-pressure, those of commands.
    o_load: Out stream of beats, those of LOADs.
    o_decoder: Out stream of beats, those of weights and of the K/V cache.

    Latency: none. Back-pressure: a beat that is not taken holds up those behind it.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(READ_BEAT)),
                "o_command": Out(stream.Signature(BEAT_BITS, always_ready=True)),
                "o_load": Out(stream.Signature(BEAT_BITS)),
                "o_decoder": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.Switch(self.i.payload.route):
            for routes, output in (
                ((Route.COMMAND,), self.o_command),
                ((Route.LOAD,), self.o_load),
                ((Route.WEIGHTS, Route.KV), self.o_decoder),
            ):
                m.d.comb += output.payload.eq(self.i.payload.data)
                with m.Case(*routes):
                    m.d.comb += [output.valid.eq(self.i.valid), self.i.ready.eq(output.ready)]
        return m
