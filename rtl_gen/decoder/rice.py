# SPDX-License-Identifier: Apache-2.0
"""Rice codec: blocks of refill words and low bits to weights."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from meadow.spec.streams import (
    BLOCK_WEIGHTS,
    LITERAL,
    MAX_QUOTIENT_BITS,
    RUN_WEIGHTS,
    WORD_BYTES,
)
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.codewords import Codewords
from rtl_gen.decoder.ranks import count_ones
from rtl_gen.decoder.substreams import SubStreamPair
from rtl_gen.decoder.unpacker import Unpacker
from rtl_gen.decoder.weight_block import REFILLS

__all__ = ["RiceUnpacker"]

_WORD_BITS = 8 * WORD_BYTES
_LITERAL_CODE = MAX_QUOTIENT_BITS + 1
"""Stands for k = LITERAL, so that k has 3 bits."""


class RiceUnpacker(Unpacker):
    """weight = z >> 1 for even z, else ~(z >> 1); z = (quotient << k | low bits) mod 256, LITERAL:
    8 low bits.

    A quotient comes from a sub-stream (SubStreamPair, Codewords), at its issue already; the low
    bits from the block.

    Members (UnpackerSignature)
    -------
    prime: In, at most a beat per cycle, in the order of the sub-streams: beat c + 4 comes 4 cycles
        after beat c or later. Not while blocks are on their way. The first block is issued 2 cycles
        after the last beat or later.
    issue: In. The halves alternate; two blocks of one half are issued 2 cycles apart or more.
    need: Out(8), registers, bit 4*h + i: sub-stream i of half h has finished a word since its last
        block: it is right `need_latency` cycles after the issue of that block, and its word is to
        be in the half's next block.
    block: In, `block_delay` cycles after its issue. widths[0]: k, 0..MAX_QUOTIENT_BITS or LITERAL.
    part: Out, `latency` cycles after the block.
    bad: Out pulse, `bad_latency` cycles after the issue: no run ends within RUN_BITS bits of a
        sub-stream. What comes after it is unspecified until all sub-streams are primed.
    chunk2, entries, table: not used.

    Throughput: a block per cycle, constant latency, no back-pressure. Sub-streams keep their place
        from slice to slice.
    """

    block_delay = 2
    need_latency = SubStreamPair.need_latency
    latency = SubStreamPair.latency + Codewords.latency + 1 - block_delay
    bad_latency = SubStreamPair.latency + 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block, prime = self.block.payload, self.prime.payload
        pairs, quotients = [], []
        for index in range(REFILLS):
            m.submodules[f"pair{index}"] = pair = SubStreamPair()
            m.submodules[f"codewords{index}"] = codewords = Codewords()
            words = Cat(block.data[_WORD_BITS * i :][:_WORD_BITS] for i in range(index + 1))
            m.d.comb += [
                pair.issue.valid.eq(self.issue.valid),
                pair.issue.payload.eq(self.issue.payload),
                pair.prime.valid.eq(self.prime.valid & (prime.substream % REFILLS == index)),
                pair.prime.payload.half.eq(prime.substream[-1]),
                pair.prime.payload.data.eq(prime.data),
                pair.refill.valid.eq(self.block.valid & block.refill[index]),
                pair.refill.payload.half.eq(block.half),
                pair.refill.payload.data.eq(
                    words.word_select(count_ones(block.refill[:index]), _WORD_BITS)
                ),
                codewords.run.eq(pair.run),
            ]
            for half in range(2):
                m.d.comb += self.need[REFILLS * half + index].eq(pair.need[half])
            pairs.append(pair)
            quotients += [codewords.quotients[i] for i in range(RUN_WEIGHTS)]
        m.d.sync += self.bad.eq(Cat(pair.bad for pair in pairs).any())
        code, raw = self._raw(m)
        self._weights(m, code, raw, quotients)
        return m

    def _raw(self, m: Module) -> tuple[Value, Value]:
        """Code of k and the raw words, when the quotients are there."""
        block = self.block.payload
        skip = Signal(range(REFILLS + 2), reset_less=True)
        content = Signal(len(block.data), reset_less=True)
        raw = Signal(8 * BLOCK_WEIGHTS, reset_less=True)
        code = Signal(range(_LITERAL_CODE + 1), reset_less=True)
        m.d.sync += [
            skip.eq(count_ones(Cat(block.refill, block.mode_word))),
            content.eq(block.data),
            raw.eq(content >> (skip << (_WORD_BITS.bit_length() - 1))),
            code.eq(Mux(block.widths[0] == LITERAL, _LITERAL_CODE, block.widths[0])),
        ]
        return (
            delayed(m, code, self.latency - 2, "code"),
            delayed(m, raw, self.latency - 3, "raw"),
        )

    def _weights(self, m: Module, code: Value, raw: Value, quotients: list[Value]) -> None:
        numbers = [Signal(8, name=f"number{i}") for i in range(BLOCK_WEIGHTS)]
        with m.Switch(code):
            for k in range(_LITERAL_CODE):
                with m.Case(k):
                    m.d.comb += [
                        number.eq(Cat(raw[i * k : (i + 1) * k], quotients[i]))
                        for i, number in enumerate(numbers)
                    ]
            with m.Default():
                m.d.comb += Cat(numbers).eq(raw)
        valid = delayed(m, self.block.valid, self.latency - 1, "valid", reset_less=False)
        weights = payload_register(m, self.part.payload, "weights")
        m.d.sync += [
            self.part.valid.eq(valid),
            weights.eq(Cat(Cat(n[1:] ^ n[0].replicate(7), n[0]) for n in numbers)),
        ]
