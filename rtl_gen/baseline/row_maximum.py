# SPDX-License-Identifier: Apache-2.0
"""First pass of a softmax over whole rows: their maximum."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import SCORE_FRACTION_BITS
from rtl_gen.baseline.softmax_rows import key_range
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.memory.row_reader import word_layout
from rtl_gen.softmax.exponent import MAXIMUM_BITS

__all__ = ["RowMaximum", "row_maximum_layout", "take_keys"]

_LOWEST = -(1 << 15)


def row_maximum_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What the second pass over a row needs."""
    return data.StructLayout({"maximum": signed(MAXIMUM_BITS), "keys": key_range(config)})


def take_keys(left: Value, elements: int) -> tuple[Value, Value]:
    """(visible ones of the next `elements` keys, visible keys after them) if `left` are visible
    from here on.
    """
    more = left > elements
    return Mux(more, elements, left), Mux(more, left - elements, 0)


class RowMaximum(wiring.Component):
    """maximum = numerics.block_maximum(max of the first `keys` scores of the row).

    Parameters
    ----------
    config: width W (W/2 signed 16-bit scores per word), max_context.

    Members
    -------
    i: In stream of word_layout without back-pressure.
    i_keys: In stream, visible keys of a row: valid with the first word of its row, taken with the
        last.
    o: Out stream of row_maximum_layout without back-pressure, once per row; a row without visible
        key counts as one key of -2^15.

    Latency: `latency` cycles from a row's last word to `o`. Throughput: one word per cycle. No
        back-pressure. Exact.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self._levels = (config.width // 2).bit_length() - 1
        self.latency = self._levels + 4
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(config), always_ready=True)),
                "i_keys": In(stream.Signature(key_range(config))),
                "o": Out(stream.Signature(row_maximum_layout(config), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        elements = self._config.width // 2
        keys = self.i_keys.payload
        left = Signal(key_range(self._config), reset_less=True)
        count = Signal(range(elements + 1), reset_less=True)
        visible, after = take_keys(Mux(self.i.payload.first, keys, left), elements)
        m.d.sync += count.eq(visible)
        with m.If(self.i.valid):
            m.d.sync += left.eq(after)
        m.d.comb += self.i_keys.ready.eq(self.i.valid & self.i.payload.last)

        scores = delayed(m, self.i.payload.data, 1, "word")
        nodes: list[Value] = []
        for index in range(elements):
            score = Signal(signed(16), name=f"score{index}", reset_less=True)
            value = scores.word_select(index, 16).as_signed()
            m.d.sync += score.eq(Mux(count > index, value, Const(_LOWEST, signed(16))))
            nodes.append(score)
        for level in range(self._levels):
            parents: list[Value] = []
            for index in range(0, len(nodes), 2):
                parent = Signal(signed(16), name=f"max_{level}_{index}", reset_less=True)
                left_node, right_node = nodes[index], nodes[index + 1]
                m.d.sync += parent.eq(Mux(left_node > right_node, left_node, right_node))
                parents.append(parent)
            nodes = parents

        ahead = 2 + self._levels
        valid = delayed(m, self.i.valid, ahead, "valid", reset_less=False)
        first = delayed(m, self.i.payload.first, ahead, "first")
        best = Signal(signed(16), reset_less=True)
        with m.If(valid & (first | (nodes[0] > best))):
            m.d.sync += best.eq(nodes[0])
        rounding = (1 << SCORE_FRACTION_BITS) - 1
        maximum = payload_register(m, self.o.payload.maximum, "maximum")
        m.d.sync += maximum.eq((best + rounding) >> SCORE_FRACTION_BITS)
        done = self.i.valid & self.i.payload.last
        m.d.comb += [
            self.o.valid.eq(delayed(m, done, self.latency, "done", reset_less=False)),
            self.o.payload.keys.eq(delayed(m, keys, self.latency, "keys")),
        ]
        return m
