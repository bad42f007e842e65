# SPDX-License-Identifier: Apache-2.0
"""The registers that reset the blocks of a chip, one for each."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from rtl_gen.interfaces.members import members

__all__ = ["RESET_CYCLES", "BlockResets", "clocked_by_pins", "reset_register"]

RESET_CYCLES = 4
"""Least cycles of the reset pin: with fewer a block could be out of reset before the last one is in
it."""


def reset_register(m: Module, source: object, name: str) -> Signal:
    """A register of its own for one block's reset, `source` a cycle ago.

    It begins with 1 and has no reset itself. `keep` has synthesis leave it where it is: registers
    that always hold the same would otherwise become one, with the loads of all.
    """
    register = Signal(name=name, init=1, reset_less=True, attrs={"keep": "true"})
    m.d.sync += register.eq(source)
    return register


def clocked_by_pins(m: Module, clk: Signal, rst: Signal) -> Signal:
    """Make `clk` the clock of everything, in a domain that resets nothing by itself; `rst` from a
    register, to be shared out.
    """
    m.domains.sync = sync = ClockDomain(reset_less=True)
    sync.clk = clk
    return reset_register(m, rst, "rst_registered")


class BlockResets(wiring.Component):
    """reset[block] = pin for what is always there, reset[unit] = pin | unit_reset for a unit, a
    cycle later: no net resets more than one block, and no LUT stands in front of one.

    Parameters
    ----------
    always: names of the blocks that only the pin resets.
    units: names of the units, which the sequencer resets too.

    Members
    -------
    pin: In, the reset of all, from a register.
    unit_reset: In, of the sequencer.
    reset: Out, a bit by the name of each block.

    Latency: LATENCY cycle.
    """

    LATENCY = 1

    def __init__(self, *, always: Sequence[str], units: Sequence[str]) -> None:
        self._units = frozenset(units)
        blocks = wiring.Signature({name: Out(1) for name in (*always, *units)})
        super().__init__({"pin": In(1), "unit_reset": In(1), "reset": Out(blocks)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, output in members(self.reset).items():
            source = self.pin | self.unit_reset if name in self._units else self.pin
            m.d.comb += output.eq(reset_register(m, source, f"{name}_reset"))
        return m
