# SPDX-License-Identifier: Apache-2.0
"""Turns R requantised channels per cycle into W-byte words."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig

__all__ = ["ResultCorner"]


class ResultCorner(wiring.Component):
    """Collects R values per cycle, 8 or 16 bits each, until a word is complete.

    Members
    -------
    i_valid: In, R values come.
    i_values: In, the R values, signed 16.
    i_wide: In, 0: their low bytes are bytes i_position*R.. of the word. 1: they are 16-bit
        little-endian elements (i_position*R mod W/2).. .
    i_position: In, see i_wide.
    i_emit: In, with i_valid: the word is complete.
    i_keep: In, this lane's words are wanted; else nothing leaves.
    o_result: Out stream of W bytes, always ready: the word, `LATENCY` = 1 cycle after its i_emit.
        Bytes not written since the last i_emit are 0, but in the first word after a reset, which
        has to be written completely, as every drain does.

    Throughput: R values per cycle, also in the cycle after i_emit. No back-pressure.
    """

    LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_valid": In(1),
                "i_wide": In(1),
                "i_position": In(range(config.tile_cycles)),
                "i_values": In(data.ArrayLayout(signed(16), config.rows)),
                "i_emit": In(1),
                "i_keep": In(1),
                "o_result": Out(stream.Signature(8 * config.width, always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        rows = config.rows
        emitted = Signal()
        m.d.sync += [
            emitted.eq(self.i_valid & self.i_emit),
            self.o_result.valid.eq(self.i_valid & self.i_emit & self.i_keep),
        ]
        # Byte b takes row b mod R (narrow) or row b/2 mod R (wide): 2R distinct sources.
        sources = []
        for lane in range(2 * rows):
            source = Signal(8, name=f"source_{lane}")
            narrow = self.i_values[lane % rows][:8]
            wide = self.i_values[(lane // 2) % rows].word_select(lane % 2, 8)
            with m.If(self.i_wide):
                m.d.comb += source.eq(wide)
            with m.Else():
                m.d.comb += source.eq(narrow)
            sources.append(source)

        wide_positions = config.tile_cycles // 2
        word = []
        for position in range(config.tile_cycles):
            written = Signal(name=f"written_{position}")
            wide_position = self.i_position % wide_positions
            with m.If(self.i_wide):
                m.d.comb += written.eq(self.i_valid & (wide_position == position // 2))
            with m.Else():
                m.d.comb += written.eq(self.i_valid & (self.i_position == position))
            for row in range(rows):
                byte = position * rows + row
                register = Signal(8, name=f"byte_{byte}", reset_less=True)
                with m.If(written):
                    m.d.sync += register.eq(sources[byte % (2 * rows)])
                with m.Elif(emitted):
                    m.d.sync += register.eq(0)
                word.append(register)
        m.d.comb += self.o_result.payload.eq(Cat(word))
        return m
