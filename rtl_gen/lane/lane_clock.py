# SPDX-License-Identifier: Apache-2.0
"""The clock of the lanes, stopped while nothing moves in them."""

from __future__ import annotations

from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.lane.accumulator import Accumulator
from rtl_gen.lane.lane import Lane
from rtl_gen.softmax.online import Softmax
from rtl_gen.softmax.reciprocal import Reciprocal

__all__ = ["GATE_MODULE", "LaneActivity", "LaneClock", "gate_verilog"]

GATE_MODULE = "meadow_clock_gate"
"""Verilog module of the gate, the black box of `LaneClock`."""

_GATE_VERILOG = f"""\
// Passes a rising edge of clk if enable was 1 in the cycle before it.
module {GATE_MODULE}(clk, enable, gated);
  input clk;
  input enable;
  output gated;
`ifdef MEADOW_CLOCK_GATE
  BUFGCE buffer (.I(clk), .CE(enable), .O(gated));
`else
`ifdef MEADOW_SIMULATE_CLOCK_GATE
  reg open = 1'b1;
  always @(negedge clk) open <= enable;
  assign gated = clk & open;
`else
  assign gated = clk;
`endif
`endif
endmodule
"""


def gate_verilog() -> str:
    """Verilog of the gate.

    Without a macro the clock runs on. MEADOW_CLOCK_GATE asks for a BUFGCE: the lanes then draw no
    dynamic power between tiles, but the enable has to reach the clock buffer within a cycle and the
    two clock nets have to be balanced (CLOCK_DELAY_GROUP). MEADOW_SIMULATE_CLOCK_GATE stops the
    clock in a simulator, which then skips the lanes; the co-simulation does so. Results and cycles
    are the same in all three.
    """
    return _GATE_VERILOG


class LaneActivity(wiring.Component):
    """o_enable = a micro-operation is at lane 0, or something that entered less than its settling
    time ago may still move.

    Members
    -------
    array: In, an issue (or its swap), a word or a fetch is at the input of lane 0 in this cycle.
    drain: In, a drain or a finish is.
    o_enable: Out, the lanes need the clock edge that ends this cycle; combinational.

    `ARRAY` and `DRAIN` are the settling times in cycles, an upper bound of every path from the
    input of lane 0 to the last register of lane T-1 that it changes: T - 1 hops, the
    longest chain of latencies in a lane, and one cycle in which strobes return to 0. A reset opens
    the gate for the longer one.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        parts = Accumulator(config=config), Softmax(config=config), Reciprocal(config=config)
        for part in parts:
            part._MustUse__silence = True  # only their latencies are wanted
        accumulator, softmax, reciprocal = parts
        # The sums are written in the cycle after the last stage; words and fetches settle earlier.
        array = accumulator.LATENCY + 2
        score = Lane.RESULT_LATENCY + softmax.TOTAL
        finish = 2 + reciprocal.LATENCY
        hops = config.lanes - 1
        self.ARRAY = hops + array + 1
        self.DRAIN = hops + max(Lane.RESULT_LATENCY, score, finish) + 1
        super().__init__({"array": In(1), "drain": In(1), "o_enable": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        array = Signal(range(self.ARRAY + 1), init=self.ARRAY)
        drain = Signal(range(self.DRAIN + 1), init=self.DRAIN)
        moving = []
        for left, entered, cycles in (
            (array, self.array, self.ARRAY),
            (drain, self.drain, self.DRAIN),
        ):
            with m.If(entered):
                m.d.sync += left.eq(cycles)
            with m.Elif(left != 0):
                m.d.sync += left.eq(left - 1)
            moving.append(entered | (left != 0))
        m.d.comb += self.o_enable.eq(moving[0] | moving[1])
        return m


class LaneClock(wiring.Component):
    """Clock and reset of the lanes: those of the sync domain, without the edges that change
    nothing.

    Members
    -------
    array, drain: In, see `LaneActivity`.
    o_clock: Out, the gated clock.
    o_reset: Out, the reset, registered by that clock.

    Everything else keeps the clock of the sync domain. The two are one clock to every register: an
    edge of `o_clock` is an edge of the sync clock, and signals cross in both directions without
    synchronisers.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__({"array": In(1), "drain": In(1), "o_clock": Out(1), "o_reset": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.activity = activity = LaneActivity(config=self._config)
        m.submodules.gate = Instance(
            GATE_MODULE,
            i_clk=ClockSignal(),
            i_enable=activity.o_enable | self.o_reset,
            o_gated=self.o_clock,
        )
        # A register, because ResetSignal() does not show the reset of a ResetInserter around this.
        resetting = Signal(init=1)
        m.d.sync += resetting.eq(0)
        m.d.comb += self.o_reset.eq(resetting)
        m.d.comb += [activity.array.eq(self.array), activity.drain.eq(self.drain)]
        return m
