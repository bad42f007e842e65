# SPDX-License-Identifier: Apache-2.0
"""Rows of a SOFTMAX command: where they are, how many words they have and how many keys they
see.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.command import command_layout
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS

__all__ = ["SoftmaxRows", "key_range", "softmax_row_layout"]


def key_range(config: AcceleratorConfig) -> range:
    """Keys a row sees."""
    return range(config.max_context + 1)


def softmax_row_layout(config: AcceleratorConfig) -> data.StructLayout:
    """`words` words of scores from `address` on, of which the first `keys` elements are visible."""
    return data.StructLayout(
        {"address": ADDRESS_BITS, "words": STRIDE_BITS, "keys": key_range(config)}
    )


class _State(enum.Enum, shape=2):
    IDLE = 0
    GROUP = 1
    WORDS = 2
    OFFER = 3


class SoftmaxRows(wiring.Component):
    """Row r of `rows`: address = source + r*stride + 1; keys = keys(r) = command.keys + (causal ? r
    : 0); words = 2*ceil(keys(last)/W), last = min(rows, (r div T + 1)*T) - 1 being the last row of
        r's group of T.

    Parameters
    ----------
    config: width W, lanes T, max_context.

    Members
    -------
    command: In(command_layout(SOFTMAX)), stable from `start` until the last row; 1 <= keys(r) <=
        max_context.
    start: In(1), pulse while idle.
    o: Out stream of softmax_row_layout, `rows` transfers.

    Latency: LATENCY cycles from start to the first row. Throughput: one row per cycle, two cycles
        more per group.
    """

    LATENCY = 3

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "command": In(command_layout(Opcode.SOFTMAX)),
                "start": In(1),
                "o": Out(stream.Signature(softmax_row_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, width = self._config.lanes, self._config.width
        command = self.command
        state = Signal(_State)
        address = Signal(ADDRESS_BITS, reset_less=True)
        keys = Signal(key_range(self._config), reset_less=True)
        rows_left = Signal(len(command.rows), reset_less=True)
        lane = Signal(range(max(2, lanes)), reset_less=True)
        group_keys = Signal(key_range(self._config), reset_less=True)
        words = Signal(STRIDE_BITS, reset_less=True)
        m.d.comb += [
            self.o.valid.eq(state == _State.OFFER),
            self.o.payload.address.eq(address),
            self.o.payload.words.eq(words),
            self.o.payload.keys.eq(keys),
        ]
        with m.Switch(state):
            with m.Case(_State.IDLE):
                m.d.sync += [
                    address.eq(command.source + 1),
                    keys.eq(command.keys),
                    rows_left.eq(command.rows),
                    lane.eq(0),
                ]
                with m.If(self.start & command.rows.any()):
                    m.d.sync += state.eq(_State.GROUP)
            with m.Case(_State.GROUP):
                ahead = Mux(rows_left < lanes, rows_left - 1, lanes - 1)
                m.d.sync += [
                    group_keys.eq(keys + Mux(command.causal, ahead[: lanes.bit_length()], 0)),
                    state.eq(_State.WORDS),
                ]
            with m.Case(_State.WORDS):
                width_log2 = width.bit_length() - 1
                m.d.sync += [
                    words.eq(((group_keys + (width - 1)) >> width_log2) << 1),
                    state.eq(_State.OFFER),
                ]
            with m.Case(_State.OFFER):
                with m.If(self.o.ready):
                    m.d.sync += [
                        address.eq(address + command.source_stride),
                        keys.eq(keys + command.causal),
                        rows_left.eq(rows_left - 1),
                        lane.eq(Mux(lane == lanes - 1, 0, lane + 1)),
                    ]
                    with m.If(rows_left == 1):
                        m.d.sync += state.eq(_State.IDLE)
                    with m.Elif(lane == lanes - 1):
                        m.d.sync += state.eq(_State.GROUP)
        return m
