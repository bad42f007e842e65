# SPDX-License-Identifier: Apache-2.0
"""CRC-32 of a weight stream, one beat per cycle."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES

__all__ = ["StreamChecksum"]

_POLYNOMIAL = 0xEDB88320
_ONES = 0xFFFFFFFF


def _advance(state: int, data: int) -> int:
    """Reflected CRC-32 register after the 128 bits of `data`, without initial and final inversion."""
    state ^= data
    for _ in range(8 * BEAT_BYTES):
        state = (state >> 1) ^ (_POLYNOMIAL if state & 1 else 0)
    return state


_COLUMNS = tuple(_advance(0, 1 << bit) for bit in range(8 * BEAT_BYTES))
"""What each data bit adds; register bit i acts like data bit i, because the register is xored into the first bits."""


def _network(bits: Value) -> Value:
    """The linear map of _COLUMNS on the low bits of a beat."""
    rows = []
    for row in range(32):
        terms = [bits[index] for index in range(len(bits)) if _COLUMNS[index] >> row & 1]
        rows.append(reduce(xor, terms, Const(0, 1)))
    return Cat(rows)


class StreamChecksum(wiring.Component):
    """Compares the CRC-32 (zlib) of a run of beats with the expected value.

    state' = A*(state + data[0:32]) + B*data[32:128] over GF(2), a two-stage XOR network generated from the polynomial.

    Members
    -------
    valid, data: In, the next beat (128 bits, byte 0 lowest). first: In, with it, starts a run: the last four bytes of this
    beat are the expected value and count as 0. last: In, ends the run. mismatch: Out pulse.

    Latency: `latency` cycles from the last beat to `mismatch`. Throughput: one beat per cycle, no back-pressure.
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
        share = Signal(32)
        state = Signal(32)
        expected, checked = Signal(32), Signal(32)  # checked: of the beat whose state is complete
        valid1, first1, last1, last2 = Signal(), Signal(), Signal(), Signal()
        counted, register = Signal.like(self.data), Signal(32)
        own = self.data[-32:]
        m.d.comb += [
            counted.eq(Cat(self.data[:-32], Mux(self.first, 0, own))),
            register.eq(Mux(first1, _ONES, state)),
        ]
        m.d.sync += [
            share.eq(_network(counted)),
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
            m.d.sync += state.eq(_network(register) ^ share)
        return m
