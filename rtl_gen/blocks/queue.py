# SPDX-License-Identifier: Apache-2.0
"""First-in first-out buffer between two streams."""

from __future__ import annotations

from typing import Literal

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl_gen.blocks.delay import delayed

__all__ = ["Queue"]

_DISTRIBUTED_DEPTH = 64
"""Deepest queue in distributed RAM unless it says otherwise."""
_READ_CYCLES = 2
"""From a block RAM's address to its output register."""
_AHEAD = _READ_CYCLES + 2
"""Payloads read ahead from a block RAM: from a read to the place that its payload leaves."""


class Queue(wiring.Component):
    """A queue of `depth` payloads with a registered output; order is kept, nothing is lost.

    Payloads wait in distributed RAM or, read ahead through its output register, in block RAM.
    `o.payload` and `o.valid` are registers in either case, so what follows sees no memory's access
    time.

    Parameters
    ----------
    shape: of the payload.
    depth: payloads, 3 or more (2 or more with `direct`), those in registers included.
    direct: a payload that finds the queue empty goes straight to the output register. Not for a
        queue in block RAM.
    style: "distributed" or "block"; by default the latter for more than 64 payloads.

    Members
    -------
    i: In stream of `shape`.
    o: Out stream of `shape`.
    level: payloads held, unsigned, 0..depth.

    Latency: `latency` cycles from a transfer at `i` into an empty queue to `o.valid`: 2, with
    `direct` 1, in block RAM 4. Throughput: one payload per cycle. Back-pressure: `i.ready` falls
    when full; it does not depend on `o.ready` within the cycle. ValueError for a depth that could
    not carry one payload per cycle, and for `direct` in block RAM.
    """

    latency = 2
    """That of a queue in distributed RAM that is not `direct`; every queue has its own."""

    def __init__(
        self,
        *,
        shape: ShapeLike,
        depth: int,
        direct: bool = False,
        style: Literal["distributed", "block"] | None = None,
    ) -> None:
        least = 2 if direct else 3
        if depth < least:
            raise ValueError(f"a queue holds at least {least} payloads, not {depth}")
        self._style = style or ("distributed" if depth <= _DISTRIBUTED_DEPTH else "block")
        if self._style == "block" and direct:
            raise ValueError(
                f"a direct queue is in distributed RAM; this one holds {depth} payloads"
            )
        self.depth = depth
        self.latency += -1 if direct else _READ_CYCLES if self._style == "block" else 0
        self._direct = direct
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken, left = self.i.valid & self.i.ready, self.o.valid & self.o.ready
        with m.If(taken & ~left):
            m.d.sync += self.level.eq(self.level + 1)
        with m.Elif(left & ~taken):
            m.d.sync += self.level.eq(self.level - 1)
        if self._style == "block":
            self._in_block_ram(m, taken, left)
        else:
            self._in_distributed_ram(m, taken)
        return m

    def _in_distributed_ram(self, m: Module, taken: Value) -> None:
        source = Value.cast(self.i.payload)
        stored = Signal(range(self.depth))  # payloads in the memory
        some = stored.any()
        refill = Signal()
        put = Signal()
        get = refill & some
        first = self._memory(m, self.depth - 1, put, get)
        valid = Signal()
        payload = Signal(len(source), reset_less=True)
        m.d.comb += [
            self.i.ready.eq(stored != self.depth - 1),
            self.o.valid.eq(valid),
            Value.cast(self.o.payload).eq(payload),
            refill.eq(~valid | self.o.ready),
            put.eq(taken & ~(refill & ~some) if self._direct else taken),
        ]
        m.d.sync += stored.eq(stored + put - get)
        with m.If(refill):
            m.d.sync += [
                valid.eq(some | self.i.valid if self._direct else some),
                payload.eq(Mux(some, first, source) if self._direct else first),
            ]

    def _in_block_ram(self, m: Module, taken: Value, left: Value) -> None:
        stored = Signal(range(self.depth + 1))  # payloads that are not read yet
        credits = Signal(range(_AHEAD + 1), init=_AHEAD)
        get = Signal()
        first = self._memory(m, self.depth, taken, get)
        m.submodules.output = output = Queue(shape=len(first), depth=_AHEAD, direct=True)
        m.d.comb += [
            self.i.ready.eq(self.level != self.depth),
            get.eq(stored.any() & credits.any()),
            output.i.valid.eq(delayed(m, get, _READ_CYCLES, "read", reset_less=False)),
            output.i.payload.eq(delayed(m, first, _READ_CYCLES - 1, "first")),
            self.o.valid.eq(output.o.valid),
            Value.cast(self.o.payload).eq(output.o.payload),
            output.o.ready.eq(self.o.ready),
        ]
        m.d.sync += [stored.eq(stored + taken - get), credits.eq(credits - get + left)]

    def _memory(self, m: Module, depth: int, put: Value, get: Value) -> Value:
        """Payloads written with `put`; the one whose turn it is for `get`, from a block RAM a cycle
        later.
        """
        source = Value.cast(self.i.payload)
        # A memory of one word would have an address of no bits.
        m.submodules.storage = storage = Memory(
            shape=len(source), depth=max(2, depth), init=[], attrs={"ram_style": self._style}
        )
        write = storage.write_port()
        read = storage.read_port(domain="sync" if self._style == "block" else "comb")
        for place, moves, port in (("last", put, write), ("first", get, read)):
            index = Signal(range(max(2, depth)), name=f"{place}_place")
            with m.If(moves):
                m.d.sync += index.eq(Mux(index == depth - 1, 0, index + 1))
            m.d.comb += port.addr.eq(index)
        m.d.comb += [write.data.eq(source), write.en.eq(put)]
        return read.data
