# SPDX-License-Identifier: Apache-2.0
"""Functions that the result writer applies to INT16 results: activation table, rotary position,
gate product.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.result import RESULT_MODE
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.writer.activation_table import ActivationTable, table_write_layout
from rtl_gen.writer.pair_multiplier import PairMultiplier

__all__ = ["ByteFunctions"]


class ByteFunctions(wiring.Component):
    """W/2 bytes from the W/2 signed 16-bit elements d of a result word, W/4 pairs, and a word that
    was read:

    TABLE8:  o[j] = table[table_index(d[j])].
    ROTATE8: o[2i], o[2i+1] = rotate(d[2i], d[2i+1], cosine i, sine i, shift); read word: pairs
        {int16 cosine, int16 sine}.
    GATE8:   o[j] = gate(v[half*W/2 + j], d[j], shift); read word: W signed bytes v.

    Parameters
    ----------
    config: width W; W DSPs and W/4 copies of the table.

    Members
    -------
    i_table: In stream of table_write_layout, see ActivationTable.
    table_busy: Out(1), `busy` of the table.
    i_data: In(8*W), the result word.
    i_mode: In(ResultMode), in the cycle of i_data.
    i_half: In(1), likewise.
    i_shift: In(6), 1..31, likewise.
    i_read: In(8*W), the word read for it, OPERAND_DELAY cycles after i_data: that of a read
        transferred with i_data.
    o: Out(4*W). Undefined in other modes.

    Latency: LATENCY cycles from i_data to o in every mode, so that results keep their order.
    Throughput: one word per cycle. No back-pressure, no valid: the caller delays its own. Rounding
        half up, saturation to -127..127.
    """

    OPERAND_DELAY = ActivationMemory.LATENCY
    LATENCY = OPERAND_DELAY + PairMultiplier.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_table": In(stream.Signature(table_write_layout(config))),
                "table_busy": Out(1),
                "i_data": In(8 * config.width),
                "i_mode": In(RESULT_MODE),
                "i_half": In(1),
                "i_shift": In(6),
                "i_read": In(8 * config.width),
                "o": Out(4 * config.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        m.submodules.table = table = ActivationTable(config=config)
        wiring.connect(m, wiring.flipped(self.i_table), table.i_write)
        m.d.comb += [self.table_busy.eq(table.busy), table.i_data.eq(self.i_data)]
        looked_up = delayed(m, table.o, self.LATENCY - ActivationTable.LATENCY, "looked_up")
        is_table = delayed(m, self.i_mode == ResultMode.TABLE8, self.LATENCY, "is_table")

        elements = delayed(m, self.i_data, self.OPERAND_DELAY, "elements")
        rotates = delayed(m, self.i_mode == ResultMode.ROTATE8, self.OPERAND_DELAY, "rotates")
        upper = delayed(m, self.i_half, self.OPERAND_DELAY, "upper")
        shift = delayed(m, self.i_shift, self.OPERAND_DELAY, "shift")
        # 2^(shift-1); shift 0 is not used.
        half = delayed(
            m,
            Cat(*(shift == number for number in range(1, 32))),
            PairMultiplier.HALF_DELAY,
            "rounding_half",
        )
        shift = delayed(m, shift, PairMultiplier.SHIFT_DELAY, "late_shift")

        products: list[Value] = []
        for number in range(config.width // 4):
            m.submodules[f"pair{number}"] = pair = PairMultiplier()
            cosine, sine = (
                self.i_read.word_select(2 * number + side, 16).as_signed() for side in range(2)
            )
            activated = [
                Mux(upper, self._byte(config.width // 2 + place), self._byte(place)).as_signed()
                for place in (2 * number, 2 * number + 1)
            ]
            m.d.comb += [
                pair.x.eq(elements.word_select(2 * number, 16)),
                pair.y.eq(elements.word_select(2 * number + 1, 16)),
                pair.a.eq(Mux(rotates, cosine, activated[0])),
                pair.b.eq(Mux(rotates, cosine, activated[1])),
                pair.c.eq(Mux(rotates, sine, Const(0, signed(16)))),
                pair.half.eq(half),
                pair.shift.eq(shift),
            ]
            products += [pair.o_x, pair.o_y]
        m.d.comb += self.o.eq(Mux(is_table, looked_up, Cat(*products)))
        return m

    def _byte(self, place: int) -> Value:
        return self.i_read.word_select(place, 8)
