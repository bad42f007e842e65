# SPDX-License-Identifier: Apache-2.0
"""Whether a missing tile is the decoders' fault or the memory's."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig

__all__ = ["TileWait"]


class TileWait(wiring.Component):
    """o_stall = i_stall, and a cycle ago every port whose part of the next tile is missing had a
    beat to decode.

    Members
    -------
    i_stall: In, the array waits for a tile (`stall_tile` of its activity, one cycle late).
    i_offered: In, a bit for each port: a beat of weights or K/V is offered to its decoder in this
        cycle.
    i_tile_done: In, a bit for each port, pulse: the port has completed its part of a tile.
    i_tile_free: In, pulse: a tile is used up.
    o_stall: combinational. While it is 1, more DRAM bandwidth would not have helped; a port that
        works at its peak of one beat per cycle counts so too. A cycle in which the last beats are
        only on their way through a decoder does not.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "i_stall": In(1),
                "i_offered": In(config.ports),
                "i_tile_done": In(config.ports),
                "i_tile_free": In(1),
                "o_stall": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        supplied = []
        for port, done in enumerate(self.i_tile_done):
            # Complete and not used up, at most the two slots.
            tiles = Signal(2, name=f"tiles_{port}")
            with m.If(done & ~self.i_tile_free):
                m.d.sync += tiles.eq(tiles + 1)
            with m.Elif(self.i_tile_free & ~done):
                m.d.sync += tiles.eq(tiles - 1)
            supplied.append((tiles != 0) | self.i_offered[port])
        decoders = Signal()
        m.d.sync += decoders.eq(Cat(supplied).all())
        m.d.comb += self.o_stall.eq(self.i_stall & decoders)
        return m
