# SPDX-License-Identifier: Apache-2.0
"""Functions that the result writer applies to INT16 results: activation table, rotary position,
gate product.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode, SecondOperand, result_modes_with
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.epilogue import is_one_of
from rtl_gen.interfaces.result import RESULT_MODE
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.writer.activation_table import ActivationTable, table_write_layout
from rtl_gen.writer.pair_multiplier import PairMultiplier

__all__ = ["LOOKING_UP", "ElementFunctions"]

LOOKING_UP = result_modes_with(lambda epilogue: epilogue.second == SecondOperand.TABLE)
"""Result modes that use the activation table."""


class ElementFunctions(wiring.Component):
    """W/2 signed 16-bit elements from the W/2 signed 16-bit elements d of a result word, W/4 pairs,
    and a word v that was read:

    TABLE, TABLE16: o[j] = table[table_index(d[j])].
    ROTATE8: o[2i], o[2i+1] = rotate(d[2i], d[2i+1], v[2i], v[2i+1], shift); read word: pairs
        {int16 cosine, int16 sine}.
    GATE: o[j] = gate(v[j], d[j], shift); read word: W/2 signed 16-bit elements.

    Parameters
    ----------
    config: width W; W DSPs and W/4 copies of the table.

    Members
    -------
    i_table: In stream of table_write_layout, see ActivationTable.
    table_busy: Out(1), `busy` of the table.
    i_data: In(8*W), the result word.
    i_mode: In(ResultMode), in the cycle of i_data.
    i_shift: In(6), 1..31, likewise.
    i_read: In(8*W), the word read for it, OPERAND_DELAY cycles after i_data: that of a read
        transferred with i_data.
    o: Out(8*W). Undefined in other modes.

    Latency: LATENCY cycles from i_data to o in every mode, so that results keep their order.
    Throughput: one word per cycle. No back-pressure, no valid: the caller delays its own. Rounding
        half up, saturation to 16 bits (GATE) or to -127..127 (ROTATE8).
    """

    OPERAND_DELAY = ActivationMemory.READ_LATENCY["writer"]
    LATENCY = OPERAND_DELAY + PairMultiplier.LATENCY

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_table": In(stream.Signature(table_write_layout(config))),
                "table_busy": Out(1),
                "i_data": In(8 * config.width),
                "i_mode": In(RESULT_MODE),
                "i_shift": In(6),
                "i_read": In(8 * config.width),
                "o": Out(8 * config.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        m.submodules.table = table = ActivationTable(config=config)
        wiring.connect(m, wiring.flipped(self.i_table), table.i_write)
        m.d.comb += [self.table_busy.eq(table.busy), table.i_data.eq(self.i_data)]
        looked_up = delayed(m, table.o, self.LATENCY - ActivationTable.LATENCY, "looked_up")
        is_table = delayed(m, is_one_of(self.i_mode, LOOKING_UP), self.LATENCY, "is_table")

        elements = delayed(m, self.i_data, self.OPERAND_DELAY, "elements")
        rotates = delayed(m, self.i_mode == ResultMode.ROTATE8, self.OPERAND_DELAY, "rotates")
        narrow = delayed(m, rotates, PairMultiplier.NARROW_DELAY, "narrow")
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
            first, second = (
                self.i_read.word_select(2 * number + side, 16).as_signed() for side in range(2)
            )
            m.d.comb += [
                pair.x.eq(elements.word_select(2 * number, 16)),
                pair.y.eq(elements.word_select(2 * number + 1, 16)),
                pair.a.eq(first),
                pair.b.eq(Mux(rotates, first, second)),
                pair.c.eq(Mux(rotates, second, Const(0, signed(16)))),
                pair.half.eq(half),
                pair.shift.eq(shift),
                pair.narrow.eq(narrow),
            ]
            products += [pair.o_x, pair.o_y]
        m.d.comb += self.o.eq(Mux(is_table, looked_up, Cat(*products)))
        return m
