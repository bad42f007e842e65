# SPDX-License-Identifier: Apache-2.0
"""Online base-2 softmax of one lane: scores in, probabilities and rescale shifts out."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import RESCALE_LIMIT, SCORE_FRACTION_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.lane import fetch_layout
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.softmax.block_maximum import BlockMaximum
from rtl_gen.softmax.exponent import MAXIMUM_BITS, Exponent
from rtl_gen.softmax.running_sum import RunningSum, total_layout
from rtl_gen.softmax.score import SCORE_BITS, score_layout

__all__ = ["Softmax"]


class Softmax(wiring.Component):
    """Per group and key block of W scores z, with running maximum M and sum L of the row:

        M' = max(M, ceil(max of unmasked z / 256))
        delta = min(M' - M, 63), or 0 if no key of the row was unmasked before
        p[k] = numerics.probability(z[k], M'), 0 if masked
        L' = rounding_shift(L, delta) + sum of p

    A block without unmasked key changes nothing (delta 0, p 0); `reset` forgets M and L first.

    Members (a = ceil(log2 R), N = W/R)
    -------
    i: In stream of score_layout, always ready; the N cycles of a block follow each other.
    i_fetch: In(fetch_layout), which probabilities are read.
    o_probabilities: Out, R probabilities, unsigned, two cycles after i_fetch. Index j of a block
        whose last scores came in cycle c is readable from c + `PROBABILITY` + j on.
    i_rescale: In({bank, group}), which rescale shift is read.
    o_rescale: Out, unsigned 6, one cycle after i_rescale; readable from c + `RESCALE` on.
    i_total: In stream of total_layout, always ready: the running sum of the group becomes the
        value. No score block may be in its two passes then (see `LaneLatency`).
    o_conflict: Out, one was.
    i_total_group: In, which running sum is read.
    o_total: Out, unsigned `sum_bits`, one cycle after i_total_group; readable from c + `TOTAL` on.

    Throughput: R scores per cycle, blocks back to back. Scores of a block wait in a small ring
    while its maximum forms (pass 1), then give probabilities while the next block's scores enter
    (pass 2). The same group may start again max(1, 6 - N) cycles after its last scores: M and L are
    read as late as possible, not forwarded.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        self.levels = (config.rows - 1).bit_length()
        self.PROBABILITY = self.levels + 3 + Exponent.LATENCY + 1
        self.RESCALE = self.levels + 5
        self.TOTAL = config.tile_cycles + 2 * self.levels + 10
        group = range(max(2, config.groups))
        super().__init__(
            {
                "i": In(stream.Signature(score_layout(config), always_ready=True)),
                "i_fetch": In(fetch_layout(config)),
                "o_probabilities": Out(data.ArrayLayout(config.probability_bits, config.rows)),
                "i_rescale": In(data.StructLayout({"bank": 1, "group": group})),
                "o_rescale": Out(unsigned(6)),
                "i_total": In(stream.Signature(total_layout(config), always_ready=True)),
                "o_conflict": Out(1),
                "i_total_group": In(group),
                "o_total": Out(unsigned(sum_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.block_maximum = block_maximum = BlockMaximum(config=self.config)
        m.submodules.running_sum = running_sum = RunningSum(config=self.config)
        wiring.connect(m, wiring.flipped(self.i), block_maximum.i)
        wiring.connect(m, wiring.flipped(self.i_total), running_sum.i_total)
        maximum, delta = self._running_maximum(m, block_maximum.o_maximum, block_maximum.o_any)
        self._second_pass(m, maximum, running_sum)
        m.d.comb += [
            running_sum.i_delta.eq(delta),
            running_sum.i_read.eq(self.i_total_group),
            self.o_total.eq(running_sum.o_read),
            self.o_conflict.eq(running_sum.o_conflict),
        ]
        return m

    def _running_maximum(self, m: Module, best: Signal, best_any: Signal) -> tuple[Signal, Signal]:
        """M' of the block, held from a + 3 cycles after its last scores on, and delta; stores
        both.
        """
        config, scores = self.config, self.i.payload
        last = self.i.valid & scores.last
        done = delayed(m, last, self.levels + 1, "done", reset_less=False)
        token = delayed(m, last, self.levels + 2, "token", reset_less=False)
        group = delayed(m, scores.group, self.levels + 1, "token_group")
        bank = delayed(m, scores.bank, self.levels + 1, "token_bank")
        reset = delayed(m, scores.reset, self.levels + 2, "token_reset")

        state = data.StructLayout({"maximum": signed(MAXIMUM_BITS), "used": 1})
        m.submodules.maxima = maxima = Memory(
            shape=state,
            depth=max(2, config.groups),
            init=[],
            attrs={"ram_style": "distributed"},
        )
        read = maxima.read_port()
        m.d.comb += [read.addr.eq(group), read.en.eq(done)]
        group = delayed(m, group, 1, "maximum_group")
        bank = delayed(m, bank, 1, "maximum_bank")

        rounded = Signal(signed(MAXIMUM_BITS), reset_less=True)
        rounded_any = delayed(m, best_any, 1, "rounded_any")
        m.d.sync += rounded.eq((best + ((1 << SCORE_FRACTION_BITS) - 1)) >> SCORE_FRACTION_BITS)
        used = Signal()
        rise = Signal(signed(MAXIMUM_BITS + 1))
        takes = Signal()
        m.d.comb += [
            used.eq(read.data.used & ~reset),
            rise.eq(rounded - read.data.maximum),
            takes.eq(rounded_any & (~used | ~rise[-1])),
        ]
        maximum = Signal(signed(MAXIMUM_BITS), reset_less=True)
        now_used = Signal(reset_less=True)
        difference = Signal(MAXIMUM_BITS, reset_less=True)
        with m.If(token):
            m.d.sync += [
                maximum.eq(Mux(takes, rounded, read.data.maximum)),
                now_used.eq(used | rounded_any),
                difference.eq(Mux(takes & used, rise, 0)),
            ]
        store = delayed(m, token, 1, "store", reset_less=False)
        store_group = delayed(m, group, 1, "store_group")
        write = maxima.write_port()
        m.d.comb += [
            write.addr.eq(store_group),
            write.en.eq(store),
            write.data.maximum.eq(maximum),
            write.data.used.eq(now_used),
        ]

        delta = Signal(6, reset_less=True)
        m.d.sync += delta.eq(Mux(difference > RESCALE_LIMIT, RESCALE_LIMIT, difference))
        m.submodules.rescales = rescales = Memory(
            shape=unsigned(6),
            depth=2 * config.groups,
            init=[],
            attrs={"ram_style": "distributed"},
        )
        rescale_write = rescales.write_port()
        rescale_read = rescales.read_port()
        m.d.comb += [
            rescale_write.en.eq(delayed(m, store, 1, "store_delta", reset_less=False)),
            rescale_write.addr.eq(
                Cat(delayed(m, bank, 2, "delta_bank"), delayed(m, store_group, 1, "delta_group"))
            ),
            rescale_write.data.eq(delta),
            rescale_read.addr.eq(Cat(self.i_rescale.bank, self.i_rescale.group)),
            self.o_rescale.eq(rescale_read.data),
        ]
        return maximum, delta

    def _second_pass(self, m: Module, maximum: Signal, running_sum: RunningSum) -> None:
        """Probabilities of a block, in N cycles that begin a + 2 cycles after its last scores."""
        config, scores = self.config, self.i.payload
        cycles = config.tile_cycles
        blocks = 2
        while (blocks - 1) * cycles < self.levels + 2:
            blocks *= 2
        entry = data.ArrayLayout(SCORE_BITS + 1, config.rows)
        m.submodules.ring = ring = Memory(
            shape=entry, depth=blocks * cycles, init=[], attrs={"ram_style": "distributed"}
        )
        write = ring.write_port()
        read = ring.read_port()
        block = Signal(range(blocks))
        last = self.i.valid & scores.last
        with m.If(last):
            m.d.sync += block.eq(block + 1)
        m.d.comb += [write.en.eq(self.i.valid), write.addr.eq(Cat(scores.index, block))]
        for row in range(config.rows):
            m.d.comb += write.data[row].eq(Cat(scores.scores[row], scores.visible[row]))

        begin = delayed(m, last, self.levels + 1, "begin", reset_less=False)
        active = Signal()
        index = Signal(range(cycles), reset_less=True)
        held = data.StructLayout(
            {
                "block": range(blocks),
                "bank": 1,
                "group": scores.group.shape(),
                "reset": 1,
            }
        )
        ended = Signal(held)
        current = Signal(held, reset_less=True)
        m.d.comb += [
            ended.block.eq(block),
            ended.bank.eq(scores.bank),
            ended.group.eq(scores.group),
            ended.reset.eq(scores.reset),
        ]
        begun = delayed(m, ended, self.levels + 1, "begun")
        ends = active & (index == cycles - 1)
        with m.If(begin):
            m.d.sync += [active.eq(1), index.eq(0), current.eq(begun)]
        with m.Elif(active):
            m.d.sync += [active.eq(~ends), index.eq(index + 1)]
        m.d.comb += [
            read.addr.eq(Cat(index, current.block)),
            running_sum.i_pass.active.eq(active),
            running_sum.i_pass.first.eq(index == 0),
            running_sum.i_pass.last.eq(ends),
            running_sum.i_pass.group.eq(current.group),
            running_sum.i_pass.reset.eq(current.reset),
        ]
        probabilities = self._probabilities(m, read.data, maximum)
        m.d.comb += running_sum.i_probabilities.eq(Cat(probabilities))
        self._store(m, active, Cat(index, current.bank, current.group), Cat(probabilities))

    def _probabilities(self, m: Module, entry: data.View, maximum: Signal) -> list[Value]:
        """Of R scores of the ring, Exponent.LATENCY cycles later."""
        probabilities = []
        for row in range(self.config.rows):
            m.submodules[f"exponent_{row}"] = exponent = Exponent(config=self.config)
            m.d.comb += [
                exponent.i_score.eq(entry[row][:SCORE_BITS]),
                exponent.i_visible.eq(entry[row][SCORE_BITS]),
                exponent.i_maximum.eq(maximum),
            ]
            probabilities.append(exponent.o_probability)
        return probabilities

    def _store(self, m: Module, active: Signal, place: Value, probabilities: Value) -> None:
        """Writes the probabilities of `place`, Exponent.LATENCY + 1 cycles after it; reads those of
        i_fetch.
        """
        config = self.config
        stages = Exponent.LATENCY + 1
        m.submodules.probabilities = memory = Memory(
            shape=unsigned(config.rows * config.probability_bits),
            depth=2 * config.groups * config.tile_cycles,
            init=[],
            attrs={"ram_style": "block"},
        )
        write = memory.write_port()
        read = memory.read_port()
        m.d.comb += [
            write.en.eq(delayed(m, active, stages, "stored", reset_less=False)),
            write.addr.eq(delayed(m, place, stages, "place")),
            write.data.eq(probabilities),
            read.addr.eq(Cat(self.i_fetch.index, self.i_fetch.bank, self.i_fetch.group)),
        ]
        fetched = payload_register(m, self.o_probabilities, "fetched")
        m.d.sync += fetched.eq(read.data)
