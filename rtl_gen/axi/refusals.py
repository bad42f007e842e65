# SPDX-License-Identifier: Apache-2.0
"""Which accesses the register file refuses, and the first of them."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.registers import Refusal, register_map
from rtl_gen.interfaces.axi import LITE_ADDRESS_BITS

__all__ = ["Refusals"]

_RULES = len(Refusal)


class Refusals(wiring.Component):
    """The registers `refused` and `refused_offset` of `meadow.spec.registers`: the first refused
    access since `refused` was 0. Further ones leave no trace until the host has cleared it.

    Writes are decoded once more here, a cycle before they are told, so that the enables of the
    registers do not wait for a rule.

    Parameters
    ----------
    config: of the register map.

    Members
    -------
    read: In, a cycle of a read that no register answers; read_offset: In, its byte offset, which
        stays for a cycle more.
    write: In, a cycle of a write; write_offset: In, its byte offset, which stays for a cycle more.
    write_word: In, its value; write_full: In, all four bytes of it are written.
    busy: In, a program runs.
    startable: In, rows and sequences are such that START is taken.
    clear: In, bits of `rules` that the host clears.
    rules: Out, one bit of `Refusal`, or 0.
    offset: Out, byte offset of the access; `clear` leaves it as it is.

    Latency: `latency` cycles from `read` or `write` to `rules` and `offset`, one from `clear`. Of a
    read and a write that are refused in the same cycle the write is kept.
    """

    latency = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._registers = register_map(config)
        super().__init__(
            {
                "read": In(1),
                "read_offset": In(LITE_ADDRESS_BITS),
                "write": In(1),
                "write_offset": In(LITE_ADDRESS_BITS),
                "write_word": In(32),
                "write_full": In(1),
                "busy": In(1),
                "startable": In(1),
                "clear": In(_RULES),
                "rules": Out(_RULES),
                "offset": Out(LITE_ADDRESS_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Registers between the rules, which come late in their cycle, and what is kept.
        broken = Signal(_RULES)
        lost = Signal()
        m.d.sync += [broken.eq(0), lost.eq(self.read)]
        with m.If(self.write):
            self._judge(m, broken)
        with m.If(self.rules.any()):
            m.d.sync += self.rules.eq(self.rules & ~self.clear)
        with m.Elif(broken.any()):
            m.d.sync += [self.rules.eq(broken), self.offset.eq(self.write_offset)]
        with m.Elif(lost):
            m.d.sync += [self.rules.eq(Refusal.NO_REGISTER), self.offset.eq(self.read_offset)]
        return m

    def _judge(self, m: Module, broken: Signal) -> None:
        """The first rule that the write breaks, in the order of REFUSAL_MEANINGS."""
        word = self.write_word
        writable = {entry.offset: entry.mask for entry in self._registers if entry.access != "ro"}
        places = {entry.name: entry.offset for entry in self._registers}
        known = Signal()
        fits = Signal()
        start = Signal()
        waits = Signal()
        m.d.comb += waits.eq(1)
        with m.Switch(self.write_offset):
            for mask in sorted(set(writable.values())):
                with m.Case(*(place for place, held in writable.items() if held == mask)):
                    m.d.comb += [known.eq(1), fits.eq((word & (0xFFFFFFFF ^ mask)) == 0)]
        with m.Switch(self.write_offset):
            with m.Case(places["control"]):
                m.d.comb += [start.eq(word[0]), waits.eq(word[0])]
            with m.Case(places["refused"]):
                m.d.comb += waits.eq(0)
        with m.If(~known):
            m.d.sync += broken.eq(Refusal.NOT_WRITABLE)
        with m.Elif(~self.write_full):
            m.d.sync += broken.eq(Refusal.PARTIAL)
        with m.Elif(self.busy & waits):
            m.d.sync += broken.eq(Refusal.BUSY)
        with m.Elif(~fits):
            m.d.sync += broken.eq(Refusal.BITS)
        with m.Elif(start & ~self.startable):
            m.d.sync += broken.eq(Refusal.STEP)
