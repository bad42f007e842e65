# SPDX-License-Identifier: Apache-2.0
"""Running sums of the probabilities of a lane's rows."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.softmax.exponent import Exponent

__all__ = ["RunningSum", "sum_pass_layout", "total_layout"]


def sum_pass_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A cycle of the second pass over a key block.

    Fields
    ------
    active: there is one.
    first, last: of the block.
    group: token group of the row.
    reset: the row starts from scratch.
    """
    return data.StructLayout(
        {"active": 1, "first": 1, "last": 1, "group": range(max(2, config.groups)), "reset": 1}
    )


def total_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A sum for the row of `group` that was formed elsewhere."""
    return data.StructLayout(
        {"group": range(max(2, config.groups)), "value": unsigned(sum_bits(config))}
    )


class RunningSum(wiring.Component):
    """L' = rounding_shift(L, delta) + sum of p, for each key block of a row; L = 0 at its `reset`.

    Members (a = ceil(log2 R))
    -------
    i_pass: In(sum_pass_layout).
    i_probabilities: In, R probabilities, unsigned, of the pass Exponent.LATENCY + 1 cycles before.
    i_delta: In, unsigned 6, the block's rescale shift; its own until two cycles after the last
        cycle of its pass.
    i_total: In stream of total_layout, always ready: the row's sum becomes the value; for a read
        from the next cycle on. It shares the write port: see `o_conflict`.
    o_conflict: Out, a sum was written when i_total came.
    i_read: In, the token group whose sum is read.
    o_read: Out, unsigned `sum_bits`, one cycle later.

    Latency: L' is written a + 8 cycles after the last cycle of the pass. Throughput: R
    probabilities per cycle, blocks back to back.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_pass": In(sum_pass_layout(config)),
                "i_probabilities": In(data.ArrayLayout(config.probability_bits, config.rows)),
                "i_delta": In(6),
                "i_total": In(stream.Signature(total_layout(config), always_ready=True)),
                "o_conflict": Out(1),
                "i_read": In(range(max(2, config.groups))),
                "o_read": Out(unsigned(sum_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        bits = sum_bits(config)
        levels = (config.rows - 1).bit_length()
        nodes = list(self.i_probabilities)
        for level in range(levels):
            parents = []
            for index in range(0, len(nodes), 2):
                parent = Signal(len(nodes[index]) + 1, name=f"p_{level}_{index}", reset_less=True)
                m.d.sync += parent.eq(nodes[index] + nodes[index + 1])
                parents.append(parent)
            nodes = parents
        stages = Exponent.LATENCY + 1 + levels
        first = delayed(m, self.i_pass.active & self.i_pass.first, stages, "first")
        total = Signal(config.probability_bits + (config.width - 1).bit_length(), reset_less=True)
        m.d.sync += total.eq(Mux(first, 0, total) + nodes[0])

        m.submodules.sums = sums = Memory(
            shape=unsigned(bits),
            depth=max(2, config.groups),
            init=[],
            attrs={"ram_style": "distributed"},
        )
        write = sums.write_port()
        read = sums.read_port()
        finish = sums.read_port()
        group = delayed(m, self.i_pass.group, stages - 2, "group")
        reset = delayed(m, self.i_pass.reset, stages - 1, "reset")
        delta = delayed(m, self.i_delta, stages - 3, "delta")
        coarse = delayed(m, delta[3:], 1, "coarse")
        fine = Signal(bits + 1, reset_less=True)
        shifted = Signal(bits + 1, reset_less=True)
        m.d.comb += [
            read.addr.eq(group),
            finish.addr.eq(self.i_read),
            self.o_read.eq(finish.data),
        ]
        m.d.sync += [
            fine.eq(Mux(reset, 0, Cat(Const(0, 1), read.data)) >> delta[:3]),
            shifted.eq(fine >> Cat(Const(0, 3), coarse)),
        ]
        updated = Signal(bits, reset_less=True)
        m.d.sync += updated.eq((shifted >> 1) + total + shifted[0])
        done = delayed(m, self.i_pass.last, stages + 2, "done", reset_less=False)
        done_group = delayed(m, group, 4, "done_group")
        given = self.i_total
        m.d.comb += [
            write.en.eq(done | given.valid),
            write.addr.eq(Mux(given.valid, given.payload.group, done_group)),
            write.data.eq(Mux(given.valid, given.payload.value, updated)),
            self.o_conflict.eq(done & given.valid),
        ]
        return m
