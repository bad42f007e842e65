# SPDX-License-Identifier: Apache-2.0
"""Sum and sum of squares of INT16 rows."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.adder_tree import adder_tree
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.memory.row_reader import word_layout

__all__ = ["NormStatistics", "statistics_layout"]


def statistics_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Sums over a row of at most norm_channels INT16 elements.

    total: S1 = sum x.
    squares: S2 = sum x^2.
    """
    channels_log2 = (config.norm_channels - 1).bit_length()
    return data.StructLayout(
        {
            "total": signed(16 + channels_log2),
            "squares": unsigned(31 + channels_log2),
        }
    )


class NormStatistics(wiring.Component):
    """S1 = sum x, S2 = sum x^2 over the words from `first` to `last`.

    Parameters
    ----------
    config: width W (W/2 elements of a word), norm_channels (longest row).

    Members
    -------
    i: In stream of word_layout without back-pressure, words of W/2 signed 16-bit elements; rows
        follow each other in any rhythm.
    o: Out stream of statistics_layout without back-pressure, one per row.

    Latency: `latency` cycles from a row's last word to `o`. Throughput: one word per cycle. No
        back-pressure. Exact.
    The source of the words does not matter: they may as well come from the writer of the residual.
    """

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self.latency = 3 + ((config.width // 2).bit_length() - 1) + 1
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(config), always_ready=True)),
                "o": Out(stream.Signature(statistics_layout(config), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        values: list[Value] = []
        squares: list[Value] = []
        for index in range(self._config.width // 2):
            # Input, product and output register of a DSP slice.
            x = Signal(signed(16), name=f"x{index}", reset_less=True)
            first = Signal(31, name=f"product{index}", reset_less=True)
            second = Signal(31, name=f"square{index}", reset_less=True)
            m.d.sync += [
                x.eq(self.i.payload.data.word_select(index, 16).as_signed()),
                first.eq(x * x),
                second.eq(first),
            ]
            squares.append(second)
            values.append(delayed(m, x, 2, f"value{index}"))
        total, square = adder_tree(m, values), adder_tree(m, squares)
        ahead = self.latency - 1
        valid = delayed(m, self.i.valid, ahead, "valid", reset_less=False)
        last = delayed(m, self.i.valid & self.i.payload.last, ahead, "last", reset_less=False)
        restart = delayed(m, self.i.payload.first, ahead, "first")
        sums = payload_register(m, self.o.payload, "sums")
        with m.If(valid):
            m.d.sync += [
                sums.total.eq(Mux(restart, 0, sums.total) + total),
                sums.squares.eq(Mux(restart, 0, sums.squares) + square),
            ]
        m.d.sync += self.o.valid.eq(last)
        return m
