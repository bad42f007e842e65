# SPDX-License-Identifier: Apache-2.0
"""Online base-2 softmax of one lane: scores in, probabilities and rescale shifts out."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import RESCALE_LIMIT, SCORE_FRACTION_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.softmax.exponent import MAXIMUM_BITS, Exponent

__all__ = ["Softmax", "score_layout"]

_SCORE_BITS = 16


def score_layout(config: AcceleratorConfig) -> data.StructLayout:
    """R scores of a key block; visible[r] = 0 masks a key. first, last: cycles of the block."""
    return data.StructLayout(
        {
            "valid": 1,
            "first": 1,
            "last": 1,
            "index": range(config.step_cycles),
            "group": range(max(2, config.groups)),
            "bank": 1,
            "reset": 1,
            "scores": data.ArrayLayout(signed(_SCORE_BITS), config.rows),
            "visible": data.ArrayLayout(1, config.rows),
        }
    )


class Softmax(wiring.Component):
    """Per group and key block of W scores z, with running maximum M and sum L of the row:

        M' = max(M, ceil(max of unmasked z / 256))
        delta = min(M' - M, 63), or 0 if no key of the row was unmasked before
        p[k] = numerics.probability(z[k], M'), 0 if masked
        L' = rounding_shift(L, delta) + sum of p

    A block without unmasked key changes nothing (delta 0, p 0); `reset` forgets M and L first.

    Members (a = ceil(log2 R), N = W/R)
    -------
    i: `score_layout`; the N cycles of a block follow each other, last on the Nth. No back-pressure.
    i_fetch_bank, i_fetch_group, i_fetch_index -> o_probabilities (R, unsigned) two cycles later.
        Index j of a block whose last scores came in cycle c is readable from c + `PROBABILITY` + j
        on.
    i_rescale_bank, i_rescale_group -> o_rescale (unsigned 6) one cycle later, readable from c +
        `RESCALE` on.
    i_set_total, i_set_group, i_set_value (unsigned `sum_bits`): the running sum of the group
        becomes the value; for a read of o_total from the next cycle on. It shares the write port of
        the running sum: no score block may be in its two passes then (see `LaneLatency`).
            o_conflict: one was.
    i_total_group -> o_total (running sum, unsigned `sum_bits`) one cycle later, readable from c +
        `TOTAL` on.

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
        self.TOTAL = config.step_cycles + 2 * self.levels + 10
        group = range(max(2, config.groups))
        super().__init__(
            {
                "i": In(score_layout(config)),
                "i_fetch_bank": In(1),
                "i_fetch_group": In(group),
                "i_fetch_index": In(range(config.step_cycles)),
                "o_probabilities": Out(data.ArrayLayout(config.probability_bits, config.rows)),
                "i_rescale_bank": In(1),
                "i_rescale_group": In(group),
                "o_rescale": Out(unsigned(6)),
                "i_set_total": In(1),
                "i_set_group": In(group),
                "i_set_value": In(unsigned(sum_bits(config))),
                "o_conflict": Out(1),
                "i_total_group": In(group),
                "o_total": Out(unsigned(sum_bits(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block_maximum, block_any = self._block_maximum(m)
        maximum = self._running_maximum(m, block_maximum, block_any)
        job = self._second_pass(m, maximum)
        self._running_sum(m, job)
        return m

    def _block_maximum(self, m: Module) -> tuple[Signal, Signal]:
        """Maximum of the unmasked scores; complete a + 1 cycles after the block's last ones."""
        nodes: list[tuple[Any, Any]] = [
            (self.i.scores[row], self.i.visible[row]) for row in range(self.config.rows)
        ]
        for level in range(self.levels):
            parents = []
            for index in range(0, len(nodes), 2):
                (left, left_any), (right, right_any) = nodes[index], nodes[index + 1]
                score = Signal(signed(_SCORE_BITS), name=f"max_{level}_{index}", reset_less=True)
                seen = Signal(name=f"any_{level}_{index}", reset_less=True)
                take_left = left_any & (~right_any | (left > right))
                m.d.sync += [score.eq(Mux(take_left, left, right)), seen.eq(left_any | right_any)]
                parents.append((score, seen))
            nodes = parents
        score, seen = nodes[0]
        first = delayed(m, self.i.first, self.levels, "first")
        valid = delayed(m, self.i.valid, self.levels, "valid", reset_less=False)
        best = Signal(signed(_SCORE_BITS), reset_less=True)
        best_any = Signal(reset_less=True)
        with m.If(valid):
            m.d.sync += best_any.eq(seen | (best_any & ~first))
            with m.If(first | ~best_any | (seen & (score > best))):
                m.d.sync += best.eq(score)
        return best, best_any

    def _running_maximum(self, m: Module, best: Signal, best_any: Signal) -> Signal:
        """M' of the block, held from a + 3 cycles after its last scores on; stores M', delta."""
        config = self.config
        last = self.i.valid & self.i.last
        done = delayed(m, last, self.levels + 1, "done", reset_less=False)
        token = delayed(m, last, self.levels + 2, "token", reset_less=False)
        group = delayed(m, self.i.group, self.levels + 1, "token_group")
        bank = delayed(m, self.i.bank, self.levels + 1, "token_bank")
        reset = delayed(m, self.i.reset, self.levels + 2, "token_reset")

        state = data.StructLayout({"maximum": signed(MAXIMUM_BITS), "used": 1})
        m.submodules.maxima = maxima = Memory(shape=state, depth=max(2, config.groups), init=[])
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

        self._delta = Signal(6, reset_less=True)
        m.d.sync += self._delta.eq(Mux(difference > RESCALE_LIMIT, RESCALE_LIMIT, difference))
        m.submodules.rescales = rescales = Memory(
            shape=unsigned(6), depth=2 * config.groups, init=[]
        )
        rescale_write = rescales.write_port()
        rescale_read = rescales.read_port()
        m.d.comb += [
            rescale_write.en.eq(delayed(m, store, 1, "store_delta", reset_less=False)),
            rescale_write.addr.eq(
                Cat(delayed(m, bank, 2, "delta_bank"), delayed(m, store_group, 1, "delta_group"))
            ),
            rescale_write.data.eq(self._delta),
            rescale_read.addr.eq(Cat(self.i_rescale_bank, self.i_rescale_group)),
            self.o_rescale.eq(rescale_read.data),
        ]
        return maximum

    def _second_pass(self, m: Module, maximum: Signal) -> dict[str, Any]:
        """Probabilities of a block, in N cycles that begin a + 2 cycles after its last scores."""
        config = self.config
        cycles = config.step_cycles
        blocks = 2
        while (blocks - 1) * cycles < self.levels + 2:
            blocks *= 2
        entry = data.ArrayLayout(_SCORE_BITS + 1, config.rows)
        m.submodules.ring = ring = Memory(shape=entry, depth=blocks * cycles, init=[])
        write = ring.write_port()
        read = ring.read_port()
        block = Signal(range(blocks))
        last = self.i.valid & self.i.last
        with m.If(last):
            m.d.sync += block.eq(block + 1)
        m.d.comb += [write.en.eq(self.i.valid), write.addr.eq(Cat(self.i.index, block))]
        for row in range(config.rows):
            m.d.comb += write.data[row].eq(Cat(self.i.scores[row], self.i.visible[row]))

        begin = delayed(m, last, self.levels + 1, "begin", reset_less=False)
        active = Signal()
        job = {
            "index": Signal(range(cycles), name="job_index", reset_less=True),
            "block": Signal(range(blocks), name="job_block", reset_less=True),
            "bank": Signal(name="job_bank", reset_less=True),
            "group": Signal(range(max(2, config.groups)), name="job_group", reset_less=True),
            "reset": Signal(name="job_reset", reset_less=True),
        }
        job_last = active & (job["index"] == cycles - 1)
        fields = {name: getattr(self.i, name) for name in ("bank", "group", "reset")}
        fields["block"] = block
        fields = {
            name: delayed(m, value, self.levels + 1, f"begin_{name}")
            for name, value in fields.items()
        }
        with m.If(begin):
            m.d.sync += [active.eq(1), job["index"].eq(0)]
            m.d.sync += [job[name].eq(value) for name, value in fields.items()]
        with m.Elif(active):
            m.d.sync += [active.eq(~job_last), job["index"].eq(job["index"] + 1)]
        m.d.comb += read.addr.eq(Cat(job["index"], job["block"]))

        stages = Exponent.LATENCY + 1
        probabilities = []
        for row in range(config.rows):
            m.submodules[f"exponent_{row}"] = exponent = Exponent(config=config)
            m.d.comb += [
                exponent.i_score.eq(read.data[row][:_SCORE_BITS]),
                exponent.i_visible.eq(read.data[row][_SCORE_BITS]),
                exponent.i_maximum.eq(maximum),
            ]
            probabilities.append(exponent.o_probability)
        m.submodules.probabilities = memory = Memory(
            shape=unsigned(config.rows * config.probability_bits),
            depth=2 * config.groups * cycles,
            init=[],
        )
        probability_write = memory.write_port()
        probability_read = memory.read_port()
        location = Cat(job["index"], job["bank"], job["group"])
        m.d.comb += [
            probability_write.en.eq(delayed(m, active, stages, "stored", reset_less=False)),
            probability_write.addr.eq(delayed(m, location, stages, "location")),
            probability_write.data.eq(Cat(probabilities)),
            probability_read.addr.eq(
                Cat(self.i_fetch_index, self.i_fetch_bank, self.i_fetch_group)
            ),
        ]
        m.d.sync += self.o_probabilities.eq(probability_read.data)
        job.update(active=active, last=job_last, probabilities=probabilities)
        return job

    def _running_sum(self, m: Module, job: dict[str, Any]) -> None:
        """L' of the block, written a + 8 cycles after the last cycle of its second pass."""
        config = self.config
        bits = sum_bits(config)
        nodes = job["probabilities"]
        for level in range(self.levels):
            parents = []
            for index in range(0, len(nodes), 2):
                parent = Signal(len(nodes[index]) + 1, name=f"p_{level}_{index}", reset_less=True)
                m.d.sync += parent.eq(nodes[index] + nodes[index + 1])
                parents.append(parent)
            nodes = parents
        stages = Exponent.LATENCY + 1 + self.levels
        first = delayed(m, job["active"] & (job["index"] == 0), stages, "sum_first")
        total = Signal(config.probability_bits + (config.width - 1).bit_length(), reset_less=True)
        m.d.sync += total.eq(Mux(first, 0, total) + nodes[0])

        m.submodules.sums = sums = Memory(
            shape=unsigned(bits), depth=max(2, config.groups), init=[]
        )
        write = sums.write_port()
        read = sums.read_port()
        finish = sums.read_port()
        group = delayed(m, job["group"], stages - 2, "sum_group")
        reset = delayed(m, job["reset"], stages - 1, "sum_reset")
        # _delta is this block's until two cycles after the last cycle of its second pass.
        delta = delayed(m, self._delta, stages - 3, "sum_delta")
        coarse = delayed(m, delta[3:], 1, "sum_coarse")
        fine = Signal(bits + 1, reset_less=True)
        shifted = Signal(bits + 1, reset_less=True)
        m.d.comb += [read.addr.eq(group), finish.addr.eq(self.i_total_group)]
        m.d.comb += self.o_total.eq(finish.data)
        m.d.sync += [
            fine.eq(Mux(reset, 0, Cat(Const(0, 1), read.data)) >> delta[:3]),
            shifted.eq(fine >> Cat(Const(0, 3), coarse)),
        ]
        updated = Signal(bits, reset_less=True)
        m.d.sync += updated.eq((shifted >> 1) + total + shifted[0])
        done = delayed(m, job["last"], stages + 2, "sum_done", reset_less=False)
        done_group = delayed(m, group, 4, "sum_write_group")
        m.d.comb += [
            write.en.eq(done | self.i_set_total),
            write.addr.eq(Mux(self.i_set_total, self.i_set_group, done_group)),
            write.data.eq(Mux(self.i_set_total, self.i_set_value, updated)),
            self.o_conflict.eq(done & self.i_set_total),
        ]
