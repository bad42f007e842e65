# SPDX-License-Identifier: Apache-2.0
"""Operand loader: brings the next tile operation's x into the shadow registers while the current
one runs.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.payload import payload_register
from rtl_gen.blocks.queue import Queue
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.lane import WordKind, fetch_layout, word_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS, MemoryReadSignature
from rtl_gen.interfaces.schedule import tile_op_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["OperandLoader"]

_OPS_AHEAD = 4
_COUNTS = ("left", "operand_words", "words_of_token", "token_words", "token_left")


def _read_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word that was read, with its exponent."""
    return data.StructLayout({"exponent": EXPONENT_BITS, "data": 8 * config.width})


class OperandLoader(wiring.Component):
    """Reads operand words ahead of need, moves them (or starts the probability fetch) and hands the
    tile operation on.

    A tile operation is offered at `o_op` as soon as a swap that follows `start_to_swap` cycles
    after its transfer may take the operand. The shadow registers then belong to it until that swap.
    Its words come in the order totals (lane 0, 1, ...), then operands (lane by lane, LOW before
    HIGH); totals follow the same distances.

    Parameters
    ----------
    config: the configuration.
    start_to_swap: cycles from a transfer at o_op to its swap.

    Members
    -------
    i_op: In stream of tile_op_layout, each with words >= 1 or `fetch`.
    o_read: Out(MemoryReadSignature). A read is asked for only when there is a credit for its
        answer, which may come any time later.
    o_word: Out stream of word_layout, always ready, to the lanes.
    o_fetch: Out stream of fetch_layout, always ready, to the lanes.
    o_op: Out stream of tile_op_layout.
    i_score_done: In, pulse: the probabilities of one more (bank, group) may be fetched.
    waiting_probabilities: Out, the next tile operation waits for probabilities.
    pending: Out, there is a next tile operation.
    pending_command: Out, index of its command.

    Throughput: a tile operation of n words (`wide`: 2*words, and words more with `totals`) in n +
    OP_OVERHEAD cycles, a fetch in W/R, back to back with those of W/R cycles before it.
    """

    OP_OVERHEAD = 4

    def __init__(self, *, config: AcceleratorConfig, start_to_swap: int) -> None:
        self._config = config
        self._start_to_swap = start_to_swap
        latency = LaneLatency.of(config)
        if max(latency.operand, latency.fetch) > start_to_swap:
            raise ValueError(
                f"start_to_swap must be at least {max(latency.operand, latency.fetch)}, "
                f"not {start_to_swap}"
            )
        super().__init__(
            {
                "i_op": In(stream.Signature(tile_op_layout(config))),
                "o_read": Out(MemoryReadSignature(config)),
                "o_word": Out(stream.Signature(word_layout(config), always_ready=True)),
                "o_fetch": Out(stream.Signature(fetch_layout(config), always_ready=True)),
                "o_op": Out(stream.Signature(tile_op_layout(config))),
                "i_score_done": In(1),
                "waiting_probabilities": Out(1),
                "pending": Out(1),
                "pending_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        words_ahead = max(16, 2 * config.lanes)  # the way through the memory, a word per cycle
        m.submodules.ops = ops = Queue(shape=self.i_op.payload.shape(), depth=_OPS_AHEAD)
        m.submodules.words = words = Queue(shape=_read_layout(config), depth=words_ahead)
        self._request(m, ops.i, words, words_ahead)
        self._move(m, ops.o, words.o)
        m.d.comb += [
            self.pending.eq(ops.o.valid),
            self.pending_command.eq(ops.o.payload.command),
        ]
        return m

    def _request(self, m: Module, ops, words: Queue, words_ahead: int) -> None:
        """Ask for the words of each tile operation, one per cycle, while there are credits."""
        op = self.i_op.payload
        operand = op.operand
        credits = Signal(range(words_ahead + 1), init=words_ahead)
        asked = self.o_read.address.valid & self.o_read.address.ready
        taken = words.o.valid & words.o.ready
        # Of this and of `left`, whether there are any: requests leave from registers.
        some_credits = Signal(init=1)
        some_left = Signal()
        with m.If(asked & ~taken):
            m.d.sync += [credits.eq(credits - 1), some_credits.eq(credits != 1)]
        with m.Elif(taken & ~asked):
            m.d.sync += [credits.eq(credits + 1), some_credits.eq(1)]

        # Words of a token lie `across` apart: those of its heads, or the two halves of a wide
        # operand.
        counts = range(2 * self._config.lanes + 1)
        left, operand_words, words_of_token, token_words, token_left = (
            Signal(counts, name=name, reset_less=True) for name in _COUNTS
        )
        token_last = token_left <= 1
        operands_follow = Signal()
        address, token_address, source = (
            Signal(ADDRESS_BITS, name=name, reset_less=True)
            for name in ("address", "token_address", "source")
        )
        stride = Signal(operand.walk.stride.shape(), reset_less=True)
        across = Signal(operand.walk.head_stride.shape(), reset_less=True)
        command = payload_register(m, self.o_read.command, "read_command")
        idle = ~some_left & ~operands_follow
        m.d.comb += [
            words.i.valid.eq(self.o_read.data.valid),
            words.i.payload.data.eq(self.o_read.data.payload),
            words.i.payload.exponent.eq(self.o_read.exponent),
            ops.payload.eq(op),
            ops.valid.eq(self.i_op.valid & idle),
            self.i_op.ready.eq(ops.ready & idle),
            self.o_read.address.valid.eq(some_left & some_credits),
            self.o_read.address.payload.eq(address),
        ]
        with m.If(self.i_op.valid & self.i_op.ready):
            m.d.sync += [
                # The totals, one word of each token, if there are any.
                left.eq(Mux(operand.totals, operand.words, 0)),
                some_left.eq(operand.totals & operand.words.any()),
                address.eq(operand.total_source),
                token_address.eq(operand.total_source),
                token_left.eq(1),
                words_of_token.eq(1),
                command.eq(op.command),
                stride.eq(operand.walk.stride),
                # The operands.
                operands_follow.eq(~operand.fetch),
                source.eq(operand.walk.base),
                operand_words.eq(Mux(operand.wide, operand.words << 1, operand.words)),
                token_words.eq(Mux(operand.wide, 2, operand.walk.heads)),
                across.eq(Mux(operand.wide, 1, operand.walk.head_stride)),
            ]
        with m.Elif(asked):
            m.d.sync += [
                left.eq(left - 1),
                some_left.eq(left != 1),
                address.eq(address + across),
                token_left.eq(token_left - 1),
            ]
            with m.If(token_last):
                m.d.sync += [
                    address.eq(token_address + stride),
                    token_address.eq(token_address + stride),
                    token_left.eq(words_of_token),
                ]
        with m.Elif(operands_follow & ~some_left):
            m.d.sync += [
                operands_follow.eq(0),
                left.eq(operand_words),
                some_left.eq(operand_words.any()),
                address.eq(source),
                token_address.eq(source),
                token_left.eq(token_words),
                words_of_token.eq(token_words),
            ]

    def _move(self, m: Module, ops, words) -> None:
        """Fill the shadow registers, no earlier after a swap than the lanes allow."""
        config, latency = self._config, LaneLatency.of(self._config)
        # What is decided on in cycle a reaches the lanes in a + 1; age is 0 in the cycle after the
        # start of a tile operation.
        word_age = max(0, self._start_to_swap + latency.operand_reuse - 2)
        fetch_age = max(0, self._start_to_swap + latency.fetch_reuse - 2)
        # The tile operation may start when the fetch has come so far; offered one cycle later
        # through the register.
        last = config.tile_cycles - 1
        offer_index = max(0, last + latency.fetch - self._start_to_swap)

        op = ops.payload
        operand = op.operand
        moved = payload_register(m, self.o_op.payload, "moved")
        oldest = max(word_age, fetch_age)
        age = Signal(range(oldest + 2), init=oldest)
        with m.If(self.o_op.valid & self.o_op.ready):
            m.d.sync += [age.eq(0), self.o_op.valid.eq(0)]
        with m.Elif(age != oldest):
            m.d.sync += age.eq(age + 1)

        scores = Signal(range(2 * config.groups + 2))
        position = Signal(range(max(2, config.lanes, config.tile_cycles)))  # lane or fetch index
        begun = Signal()
        totals_moved = Signal()
        upper = Signal()
        move = Signal()
        fetch = Signal()
        offer = Signal()
        finish = Signal()
        begins = Signal()
        used = Signal()
        total = Signal()
        lane_ends = Signal()
        lanes_end = Signal()
        m.d.comb += [
            begins.eq(~begun & ~self.o_op.valid),
            self.waiting_probabilities.eq(
                ops.valid & operand.fetch & operand.fetch_first & ~begun & (scores == 0)
            ),
            used.eq(fetch & operand.fetch_first & ~begun),
            total.eq(operand.totals & ~totals_moved),
            lanes_end.eq(position == operand.words - 1),
            lane_ends.eq(upper | ~operand.wide | total),
            words.ready.eq(move),
            ops.ready.eq(finish),
        ]
        with m.If(ops.valid & operand.fetch):
            m.d.comb += [
                fetch.eq(begun | (begins & (age >= fetch_age) & ~self.waiting_probabilities)),
                offer.eq(fetch & (position == offer_index)),
                finish.eq(fetch & (position == last)),
            ]
        with m.Elif(ops.valid):
            m.d.comb += [
                move.eq(words.valid & (begun | (begins & (age >= word_age)))),
                finish.eq(move & lanes_end & lane_ends & ~total),
                offer.eq(finish),
            ]
        with m.If(move | fetch):
            m.d.sync += begun.eq(~finish)
        with m.If(fetch):
            m.d.sync += position.eq(Mux(finish, 0, position + 1))
        with m.If(move):
            m.d.sync += [
                upper.eq(~lane_ends),
                totals_moved.eq(operand.totals & ~finish & (~total | lanes_end)),
            ]
            with m.If(lane_ends):
                m.d.sync += position.eq(Mux(lanes_end, 0, position + 1))
        with m.If(offer):
            m.d.sync += [self.o_op.valid.eq(1), moved.eq(op)]
        with m.If(used & ~self.i_score_done):
            m.d.sync += scores.eq(scores - 1)
        with m.Elif(self.i_score_done & ~used):
            m.d.sync += scores.eq(scores + 1)

        word = payload_register(m, self.o_word.payload, "word")
        probabilities = payload_register(m, self.o_fetch.payload, "probabilities")
        m.d.sync += [
            self.o_word.valid.eq(move),
            word.lane.eq(position),
            word.group.eq(op.work.group),
            self.o_fetch.valid.eq(fetch),
            probabilities.bank.eq(op.work.bank),
            probabilities.group.eq(op.work.group),
            probabilities.index.eq(position),
        ]
        with m.If(total):
            m.d.sync += word.kind.eq(WordKind.TOTAL)
        with m.Elif(operand.wide):
            m.d.sync += word.kind.eq(Mux(upper, WordKind.HIGH, WordKind.LOW))
        with m.Else():
            m.d.sync += word.kind.eq(WordKind.INT8)
        parts = [
            Mux(operand.mask[part], words.payload.data.word_select(part, 8 * BEAT_BYTES), 0)
            for part in range(config.word_beats)
        ]
        own = words.payload.exponent
        m.d.sync += [
            word.data.eq(Cat(*parts)),
            word.exponent.eq(Mux(operand.own_exponents, own, operand.exponent)),
        ]
