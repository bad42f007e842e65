# SPDX-License-Identifier: Apache-2.0
"""First word of every row of a row set."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.command import step_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS
from rtl_gen.interfaces.row_set import ROW_BITS

__all__ = ["RowAddresses"]


class _State(enum.Enum, shape=3):
    IDLE = 0
    ENTRY = 1
    ROW = 2
    PRODUCT = 3
    ADDRESS = 4
    OFFER = 5


class RowAddresses(wiring.Component):
    """o = source + row(s)*stride, s = 0 .. rows-1; row(s) = s, or with `gather` the last row of
    sequence s.

    Parameters
    ----------
    config: the sequence table.

    Members
    -------
    step: In(step_layout).
    source, stride, rows, gather: In, stable from `start` until the last row.
    start: In(1), pulse while idle.
    o: Out stream of ADDRESS_BITS, `rows` transfers.

    Throughput: one row per cycle, one in five when gathering; latency LATENCY from start when not
        gathering.
    """

    LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "step": In(step_layout(config)),
                "start": In(1),
                "source": In(ADDRESS_BITS),
                "stride": In(STRIDE_BITS),
                "rows": In(ROW_BITS),
                "gather": In(1),
                "o": Out(stream.Signature(ADDRESS_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(_State)
        index = Signal(ROW_BITS, reset_less=True)
        first_row = Signal(16, reset_less=True)
        tokens = Signal(16, reset_less=True)
        row = Signal(16, reset_less=True)
        product = Signal(len(row) + STRIDE_BITS, reset_less=True)
        address = Signal(ADDRESS_BITS, reset_less=True)
        m.d.comb += [self.o.valid.eq(state == _State.OFFER), self.o.payload.eq(address)]
        entries = [self.step.entries[number] for number in range(self._config.sequences)]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += [index.eq(0), address.eq(self.source)]
                with m.If(self.start & self.rows.any()):
                    m.d.sync += state.eq(Mux(self.gather, _State.ENTRY, _State.OFFER))
            with m.Case(_State.ENTRY):
                m.d.sync += [
                    first_row.eq(Array(entry.first_row for entry in entries)[index]),
                    tokens.eq(Array(entry.tokens for entry in entries)[index]),
                    state.eq(_State.ROW),
                ]
            with m.Case(_State.ROW):
                m.d.sync += [row.eq(first_row + tokens - 1), state.eq(_State.PRODUCT)]
            with m.Case(_State.PRODUCT):
                m.d.sync += [product.eq(row * self.stride), state.eq(_State.ADDRESS)]
            with m.Case(_State.ADDRESS):
                m.d.sync += [address.eq(self.source + product), state.eq(_State.OFFER)]
            with m.Case(_State.OFFER):
                with m.If(self.o.ready):
                    m.d.sync += [index.eq(index + 1), address.eq(address + self.stride)]
                    with m.If(index == self.rows - 1):
                        m.d.sync += state.eq(_State.IDLE)
                    with m.Elif(self.gather):
                        m.d.sync += state.eq(_State.ENTRY)
        return m
