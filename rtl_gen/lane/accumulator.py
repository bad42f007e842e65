# SPDX-License-Identifier: Apache-2.0
"""A lane's accumulators: three memories, one adder per row, the exponent's shift of what is added
and the rescaling shift of OUTPUT.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import ACCUMULATOR_BITS, AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS, LARGEST_EXPONENT
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.lane import Target, accumulation_layout, accumulator_depth, output_depth
from rtl_gen.lane.dot_product import DotProductPair

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """acc[target][address][r] = (first ? 0 : rounding_shift(acc, rescale shift)) + (i_sum[r] <<
    i_exponent).

    Members (S = `LATENCY`: cycles from an issue at the lane's input to its shifted sums)
    -------
    i_issue: In stream of accumulation_layout, always ready, in cycle 1 after the lane's input.
    i_shift: In, unsigned 6, the rescale shift, in cycle S - 2 (0 unless the issue rescales; only
        OUTPUT is ever shifted).
    i_sum: In, R sums in cycle S - 1.
    i_exponent: In, in cycle S - 2; above 0 for sums of 8-bit operands only.
    i_drain: In stream of {target, address}, always ready: one read, in cycle d + 1.
    o_values: Out, R values, signed 36, in cycle d + 5.
    o_conflict: Out, array and drain asked for the same memory in the same cycle, which the array
        control must never do.

    Accumulators have ACCUMULATOR_BITS bits; BUFFER0 and BUFFER1 have depth `accumulator_depth`,
    OUTPUT `output_depth`; one read and one write port each. A sum is readable by a drain that
    enters S cycles after its issue, and by an issue to the same address `REVISIT` cycles after it:
    there is no forwarding.
    Throughput: one issue and one drain read per cycle on different targets. Rounding: half up
    (`numerics.rounding_shift`); accumulators wrap, the number formats exclude it.
    """

    REVISIT = 6
    DRAIN_LATENCY = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.LATENCY = DotProductPair.latency(config) + 2
        # Sums with probabilities are not shifted; the others are of 8 by 8 bits.
        product_bits = 15 + (config.width - 1).bit_length()
        self._term_bits = max(DotProductPair.sum_bits(config), product_bits + LARGEST_EXPONENT)
        address = accumulation_layout(config)["address"].shape
        place = data.StructLayout({"target": Target, "address": address})
        super().__init__(
            {
                "i_issue": In(stream.Signature(accumulation_layout(config), always_ready=True)),
                "i_shift": In(unsigned(6)),
                "i_sum": In(data.ArrayLayout(signed(DotProductPair.sum_bits(config)), config.rows)),
                "i_exponent": In(EXPONENT_BITS),
                "i_drain": In(stream.Signature(place, always_ready=True)),
                "o_values": Out(data.ArrayLayout(signed(ACCUMULATOR_BITS), config.rows)),
                "o_conflict": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = self.config.rows
        issue, drain = self.i_issue.payload, self.i_drain.payload
        entering = Signal(
            data.StructLayout({"target": Target, "address": issue.address.shape(), "first": 1})
        )
        m.d.comb += [
            entering.target.eq(issue.target),
            entering.address.eq(issue.address),
            entering.first.eq(issue.first),
        ]
        # stages[k]: the issue k cycles after the lane's input, and valid[k] whether there is one.
        stages, valid = [None, entering], [None, self.i_issue.valid]
        for stage in range(2, self.LATENCY + 2):
            following = Signal(entering.shape(), name=f"issue_{stage}", reset_less=True)
            following_valid = Signal(name=f"issue_valid_{stage}")
            m.d.sync += [following.eq(stages[-1]), following_valid.eq(valid[-1])]
            stages.append(following)
            valid.append(following_valid)

        written = [
            Signal(signed(ACCUMULATOR_BITS), name=f"written_{row}", reset_less=True)
            for row in range(rows)
        ]
        write, writes = stages[self.LATENCY + 1], valid[self.LATENCY + 1]
        old = {}
        conflicts = []
        for target in Target:
            is_output = target == Target.OUTPUT
            depth = (output_depth if is_output else accumulator_depth)(self.config)
            memory = Memory(
                shape=unsigned(rows * ACCUMULATOR_BITS),
                depth=depth,
                init=[],
                attrs={"ram_style": "block"},
            )
            m.submodules[f"memory_{target.name.lower()}"] = memory
            # OUTPUT is read two cycles earlier: its value still has to pass the shifter.
            stage = self.LATENCY - (5 if is_output else 3)
            early = stages[stage]
            array_read = Signal(name=f"array_read_{target.name}")
            drain_read = Signal(name=f"drain_read_{target.name}")
            m.d.comb += [
                array_read.eq(valid[stage] & (early.target == target) & ~early.first),
                drain_read.eq(self.i_drain.valid & (drain.target == target)),
            ]
            conflicts.append(array_read & drain_read)
            read = memory.read_port()
            address = Signal(len(read.addr), name=f"address_{target.name}", reset_less=True)
            enable = Signal(name=f"enable_{target.name}")
            value = Signal(rows * ACCUMULATOR_BITS, name=f"value_{target.name}", reset_less=True)
            m.d.sync += [
                address.eq(Mux(array_read, early.address, drain.address)),
                enable.eq(array_read | drain_read),
                value.eq(read.data),
            ]
            m.d.comb += [read.addr.eq(address), read.en.eq(enable)]
            old[target] = [
                value.word_select(row, ACCUMULATOR_BITS).as_signed() for row in range(rows)
            ]

            port = memory.write_port()
            m.d.comb += [
                port.addr.eq(write.address),
                port.en.eq(writes & (write.target == target)),
                port.data.eq(Cat(written)),
            ]
        m.d.comb += self.o_conflict.eq(Cat(conflicts).any())

        use = {target: Signal(name=f"use_{target.name}") for target in Target}
        before, issued = stages[self.LATENCY - 1], valid[self.LATENCY - 1]
        for target, signal in use.items():
            m.d.sync += signal.eq(issued & ~before.first & (before.target == target))
        coarse = delayed(m, self.i_shift[3:], 1, "coarse")
        # A multiplier shifts what is added: it costs no logic beside the adder, as its own does.
        power = Signal(1 << LARGEST_EXPONENT.bit_length(), reset_less=True)
        m.d.sync += power.eq(1 << self.i_exponent)
        for row in range(rows):
            # One bit below the point survives the shift: the rounding bit, added as a carry.
            fine = Signal(signed(ACCUMULATOR_BITS + 1), name=f"fine_{row}", reset_less=True)
            shifted = Signal(signed(ACCUMULATOR_BITS + 1), name=f"shifted_{row}", reset_less=True)
            extended = Cat(Const(0, 1), old[Target.OUTPUT][row]).as_signed()
            m.d.sync += [
                fine.eq(extended >> self.i_shift[:3]),
                shifted.eq(fine >> Cat(Const(0, 3), coarse)),
            ]
            base = (
                Mux(use[Target.BUFFER0], old[Target.BUFFER0][row], 0)
                | Mux(use[Target.BUFFER1], old[Target.BUFFER1][row], 0)
                | Mux(use[Target.OUTPUT], shifted >> 1, 0)
            )
            carry = use[Target.OUTPUT] & shifted[0]
            term = Signal(signed(self._term_bits), name=f"term_{row}", reset_less=True)
            m.d.sync += [
                term.eq(self.i_sum[row] * power),
                written[row].eq(base + term + carry),
            ]

        self._drain(m, old)
        return m

    def _drain(self, m: Module, old: dict[Target, list]) -> None:
        target = delayed(m, self.i_drain.payload.target, self.DRAIN_LATENCY - 1, "drain_target")
        for row in range(self.config.rows):
            value = Signal(signed(ACCUMULATOR_BITS), name=f"drained_{row}", reset_less=True)
            with m.Switch(target):
                for choice in Target:
                    with m.Case(choice):
                        m.d.sync += value.eq(old[choice][row])
            m.d.comb += self.o_values[row].eq(value)
