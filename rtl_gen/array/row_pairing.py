# SPDX-License-Identifier: Apache-2.0
"""What is done once, and not in every lane, to the rows that are broadcast: pairs and row sums."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.adder_tree import adder_tree
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.rows import row_sums_layout, rows_layout
from rtl_gen.lane.latency import LaneLatency

__all__ = ["RowPairing"]


class RowPairing(wiring.Component):
    """Rows 2p and 2p + 1 become pair p; o_row_sums[r] = sum over w of i_rows[r][w].

    Members
    -------
    i_rows: In, [R][W] signed 8 bit, each within -127..127.
    o_rows: Out(rows_layout), `LATENCY` cycle later.
    o_row_sums: Out(row_sums_layout), `LaneLatency.row_sum` cycles behind o_rows.

    Throughput: R rows per cycle. No back-pressure.
    """

    LATENCY = 1

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        row = data.ArrayLayout(signed(8), config.width)
        super().__init__(
            {
                "i_rows": In(data.ArrayLayout(row, config.rows)),
                "o_rows": Out(rows_layout(config)),
                "o_row_sums": Out(row_sums_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        for pair in range(config.rows // 2):
            for element in range(config.width):
                high, low = (self.i_rows[2 * pair + row][element] for row in range(2))
                name = f"pair_{pair}_{element}"
                paired = Signal(self.o_rows[pair][element].shape(), name=name, reset_less=True)
                m.d.sync += [
                    paired.low.eq(low),
                    paired.high.eq(high - (low < 0)),
                    paired.odd.eq(high[0]),
                ]
                m.d.comb += self.o_rows[pair][element].eq(paired)
        levels = (config.width - 1).bit_length()
        behind = LaneLatency.of(config).row_sum - (levels - self.LATENCY)
        for row in range(config.rows):
            total = adder_tree(m, list(self.i_rows[row]))
            m.d.comb += self.o_row_sums[row].eq(delayed(m, total, behind, f"row_sum_{row}"))
        return m
