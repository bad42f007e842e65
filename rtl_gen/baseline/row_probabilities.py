# SPDX-License-Identifier: Apache-2.0
"""Second pass of a softmax over whole rows: probabilities and their total."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.baseline.row_maximum import row_maximum_layout, take_keys
from rtl_gen.baseline.softmax_rows import key_range
from rtl_gen.blocks.adder_tree import adder_tree
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.memory.row_reader import buffered_layout
from rtl_gen.softmax.exponent import MAXIMUM_BITS, Exponent

__all__ = ["RowProbabilities", "probability_word_layout"]


def probability_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Probabilities of W/2 keys.

    last: they are the last ones of their row.
    data: the probabilities, unsigned.
    """
    return data.StructLayout(
        {"last": 1, "data": data.ArrayLayout(config.probability_bits, config.width // 2)}
    )


class RowProbabilities(wiring.Component):
    """p[k] = numerics.probability(z[k], maximum) for the row's first `keys` keys, 0 for the others;
    total = sum of p.

    Parameters
    ----------
    config: width W, probability_bits, max_context. E = `units(config)` exponentials are computed
        at a time.

    Members
    -------
    i_row: In stream of row_maximum_layout, a row's from before its first word until its last one is
        taken.
    i: In stream of buffered_layout, words of W/2 scores.
    i_credit: In(1), there is a place for a word that is begun.
    o_begun: Out(1), pulse: one is begun.
    o: Out stream of probability_word_layout without back-pressure.
    o_total: Out stream of unsigned sum_bits without back-pressure, once per row.

    Latency: LATENCY cycles from the last elements of a word to `o`, `total_latency` from those of a
        row to `o_total`.
    Throughput: a word in `word_cycles(config)` = W/2 / E cycles, rows back to back. Back-pressure:
        only before a word.
    """

    UNITS_LIMIT = 16
    LATENCY = 1 + Exponent.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self._units = self.units(config)
        self.total_latency = self.LATENCY + (self._units.bit_length() - 1) + 1
        super().__init__(
            {
                "i_row": In(stream.Signature(row_maximum_layout(config))),
                "i": In(stream.Signature(buffered_layout(config))),
                "i_credit": In(1),
                "o_begun": Out(1),
                "o": Out(stream.Signature(probability_word_layout(config), always_ready=True)),
                "o_total": Out(stream.Signature(sum_bits(config), always_ready=True)),
            }
        )

    @classmethod
    def units(cls, config: AcceleratorConfig) -> int:
        """Exponentials per cycle."""
        return min(config.width // 2, cls.UNITS_LIMIT)

    @classmethod
    def word_cycles(cls, config: AcceleratorConfig) -> int:
        """Cycles of a word."""
        return config.width // 2 // cls.units(config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, units = self._config, self._units
        parts = self.word_cycles(config)
        word = self.i.payload

        current_valid = Signal()
        maximum = Signal.like(self.i_row.payload.maximum, reset_less=True)
        left = Signal(key_range(config), reset_less=True)
        part = Signal(range(max(2, parts)))
        begins = Signal()
        last_part = Signal()
        takes = Signal()
        row_done = Signal()
        m.d.comb += [
            begins.eq(part == 0),
            last_part.eq(part == parts - 1),
            takes.eq(current_valid & self.i.valid & (~begins | self.i_credit)),
            self.o_begun.eq(takes & begins),
            self.i.ready.eq(current_valid & last_part & (~begins | self.i_credit)),
            row_done.eq(takes & last_part & word.last),
            self.i_row.ready.eq(~current_valid | row_done),
        ]
        visible, after = take_keys(left, units)
        with m.If(takes):
            m.d.sync += [part.eq(part + 1), left.eq(after)]
            with m.If(last_part):
                m.d.sync += part.eq(0)
        with m.If(self.i_row.ready):
            m.d.sync += [
                current_valid.eq(self.i_row.valid),
                maximum.eq(self.i_row.payload.maximum),
                left.eq(self.i_row.payload.keys),
            ]

        scores = Signal(16 * units, reset_less=True)
        count = Signal(range(units + 1), reset_less=True)
        row_maximum = delayed(m, maximum, 1, "maximum")
        m.d.sync += [scores.eq(word.data.word_select(part, 16 * units)), count.eq(visible)]
        probabilities: list[Value] = []
        for index in range(units):
            m.submodules[f"exponent{index}"] = exponent = Exponent(config=config)
            m.d.comb += [
                exponent.i_score.eq(scores.word_select(index, 16)),
                exponent.i_maximum.eq(row_maximum[:MAXIMUM_BITS]),
                exponent.i_visible.eq(count > index),
            ]
            probabilities.append(exponent.o_probability)

        valid = delayed(m, takes, self.LATENCY, "valid", reset_less=False)
        complete = delayed(m, takes & last_part, self.LATENCY, "complete", reset_less=False)
        last = delayed(m, row_done, self.LATENCY, "last", reset_less=False)
        whole = Cat(probabilities)
        if parts > 1:
            earlier = Signal((parts - 1) * len(whole), reset_less=True)
            whole = Cat(earlier, whole)
            with m.If(valid):
                m.d.sync += earlier.eq(whole[-len(earlier) :])
        m.d.comb += [
            self.o.valid.eq(complete),
            self.o.payload.last.eq(last),
            self.o.payload.data.eq(whole),
        ]

        levels = units.bit_length() - 1
        part_sum = adder_tree(m, probabilities)
        total = Signal(sum_bits(config), reset_less=True)
        fresh = Signal(init=1)
        row_total = delayed(m, last, levels, "row_total", reset_less=False)
        with m.If(delayed(m, valid, levels, "sum_valid", reset_less=False)):
            m.d.sync += fresh.eq(row_total)
            with m.If(fresh):
                m.d.sync += total.eq(part_sum)
            with m.Else():
                m.d.sync += total.eq(total + part_sum)
        m.d.sync += self.o_total.valid.eq(row_total)
        m.d.comb += self.o_total.payload.eq(total)
        return m
