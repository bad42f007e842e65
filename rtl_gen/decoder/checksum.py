# SPDX-License-Identifier: Apache-2.0
"""CRC-32 of a weight stream, one beat per cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES
from rtl_gen.blocks.crc32 import CRC_ONES, crc_network

__all__ = ["StreamChecksum"]


class StreamChecksum(wiring.Component):
    """Compares the CRC-32 (zlib) of the beats of a stream with the expected value.

    state' = A*(state + data[0:32]) + B*data[32:128] over GF(2), a two-stage XOR network generated
    from the polynomial.

    Members
    -------
    valid: In, there is a beat.
    data: In, the beat (128 bits, byte 0 lowest).
    first: In, with a beat: it is the first one of a stream, whose last four bytes are the expected
        value and count as 0.
    last: In, with a beat: it is the last one.
    mismatch: Out pulse.

    Latency: `latency` cycles from the last beat to `mismatch`. Throughput: one beat per cycle, no
        back-pressure.
    """

    latency = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "valid": In(1),
                "data": In(8 * BEAT_BYTES),
                "first": In(1),
                "last": In(1),
                "mismatch": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        share = Signal(32, reset_less=True)
        state = Signal(32, reset_less=True)
        expected = Signal(32, reset_less=True)
        checked = Signal(32, reset_less=True)  # of the beat whose state is complete
        valid1 = Signal()
        first1 = Signal(reset_less=True)
        last1 = Signal()
        last2 = Signal()
        counted = Signal.like(self.data)
        register = Signal(32)
        own = self.data[-32:]
        m.d.comb += [
            counted.eq(Cat(self.data[:-32], Mux(self.first, 0, own))),
            register.eq(Mux(first1, CRC_ONES, state)),
        ]
        m.d.sync += [
            share.eq(crc_network(counted)),
            valid1.eq(self.valid),
            first1.eq(self.first),
            last1.eq(self.last & self.valid),
            last2.eq(last1),
            self.mismatch.eq(last2 & (state != checked)),
        ]
        with m.If(self.valid & self.first):
            m.d.sync += expected.eq(~own)
        m.d.sync += checked.eq(expected)
        with m.If(valid1):
            m.d.sync += state.eq(crc_network(register) ^ share)
        return m
