# SPDX-License-Identifier: Apache-2.0
"""Running arg-max of every row of the LM head's row set."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.result import CANDIDATE, row_range

__all__ = ["ArgMax", "logits_layout"]

_VALUE_MINIMUM = -(1 << 15)
_INDEX = CANDIDATE.members["index"]
"""Shape of an arg-max index."""


def logits_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word of logits.

    row: of the LM head's row set.
    channel: arg-max index of element 0.
    elements: how many of its elements count, 0..W/2.
    restart: forget the row's earlier candidate first.
    data: W/2 signed 16-bit elements.
    """
    return data.StructLayout(
        {
            "row": 16,
            "channel": _INDEX,
            "elements": range(config.width // 2 + 1),
            "restart": 1,
            "data": 8 * config.width,
        }
    )


class ArgMax(wiring.Component):
    """candidate[row] = maximum of its earlier value and data[i], i < elements; index = channel + i.

    Only a larger value replaces a candidate, so of equal values the first wins, and within a word
    the lowest index. A row without a value above -32768 keeps index 0, exactly as the golden
    machine.

    Parameters
    ----------
    config: width W (W/2 elements of a word), chunk_tokens rows.

    Members
    -------
    i: In stream of logits_layout without back-pressure.
    i_row: In(row_range), row to read.
    o: Out(CANDIDATE), that of the row READ_LATENCY cycles after `i_row`.
    busy: Out(1), 1 while a word is on its way to the candidates.

    Latency: config dependent, `latency` cycles from `i` to a candidate that `i_row` sees.
    Throughput: one word per cycle, also of the same row. No back-pressure.
    """

    READ_LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self._levels = (config.width // 2).bit_length() - 1
        self.latency = self._levels + 5
        super().__init__(
            {
                "i": In(stream.Signature(logits_layout(config), always_ready=True)),
                "i_row": In(row_range(config)),
                "o": Out(CANDIDATE),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        key, element = self._tournament(m)

        # The tournament's companions; one more stage adds the element to the word's first channel.
        depth = self._levels + 1
        row_bits = len(self.i_row)
        valid: Value = self.i.valid
        active = [valid]
        for stage in range(depth + 1):
            valid = delayed(m, valid, 1, f"active_{stage}", reset_less=False)
            active.append(valid)
        row = delayed(m, self.i.payload.row[:row_bits], depth + 1, "row")
        restart = delayed(m, self.i.payload.restart, depth + 1, "restart")
        channel = delayed(m, self.i.payload.channel, depth, "channel")
        enabled = Signal(reset_less=True)
        value = Signal(signed(16), reset_less=True)
        index = Signal(_INDEX, reset_less=True)
        m.d.sync += [
            enabled.eq(key[16]),
            value.eq((key[:16] ^ (1 << 15)).as_signed()),
            index.eq(channel + element),
        ]

        m.submodules.candidates = candidates = Memory(
            shape=CANDIDATE.size,
            depth=max(2, config.chunk_tokens),
            init=[],
            attrs={"ram_style": "block"},
        )
        write_port = candidates.write_port()
        own = candidates.read_port()
        other = candidates.read_port()
        m.d.comb += [own.addr.eq(row), other.addr.eq(self.i_row)]
        candidate = payload_register(m, self.o, "candidate")
        m.d.sync += candidate.as_value().eq(other.data)

        # Read, modify, write in three cycles with forwarding of the two results that a read misses.
        read_valid = Signal()
        read_row = Signal(row_bits, reset_less=True)
        read_restart = Signal(reset_less=True)
        read_new = Signal(1 + CANDIDATE.size, reset_less=True)
        m.d.sync += [
            read_valid.eq(valid),
            read_row.eq(row),
            read_restart.eq(restart),
            read_new.eq(Cat(value, index, enabled)),
        ]
        compare_valid = Signal()
        compare_row = Signal(row_bits, reset_less=True)
        compare_new = Signal(1 + CANDIDATE.size, reset_less=True)
        compare_old = Signal(CANDIDATE.size, reset_less=True)
        result = Signal(CANDIDATE.size)
        written_valid = Signal()
        written_row = Signal(row_bits, reset_less=True)
        written = Signal(CANDIDATE.size, reset_less=True)
        old = Mux(
            compare_valid & (compare_row == read_row),
            result,
            Mux(written_valid & (written_row == read_row), written, own.data),
        )
        none = Const(_VALUE_MINIMUM & 0xFFFF, CANDIDATE.size)
        m.d.sync += [
            compare_valid.eq(read_valid),
            compare_row.eq(read_row),
            compare_new.eq(read_new),
            compare_old.eq(Mux(read_restart, none, old)),
            written_valid.eq(compare_valid),
            written_row.eq(compare_row),
            written.eq(result),
        ]
        better = compare_new[-1] & (compare_new[:16].as_signed() > compare_old[:16].as_signed())
        m.d.comb += [
            result.eq(Mux(better, compare_new[:-1], compare_old)),
            write_port.addr.eq(compare_row),
            write_port.data.eq(result),
            write_port.en.eq(compare_valid),
            self.busy.eq(Cat(*active, read_valid, compare_valid).any()),
        ]
        return m

    def _tournament(self, m: Module) -> tuple[Value, Value]:
        """Largest key of the enabled elements and its element index; one register per level and one
        at the input.
        """
        keys: list[tuple[Value, Value]] = []
        for number in range(self._config.width // 2):
            key = Signal(17, name=f"key{number}", reset_less=True)
            item = self.i.payload.data.word_select(number, 16)
            m.d.sync += key.eq(Cat(item ^ (1 << 15), number < self.i.payload.elements))
            keys.append((key, Const(number, range(self._config.width // 2))))
        while len(keys) > 1:
            winners: list[tuple[Value, Value]] = []
            for (left, left_index), (right, right_index) in zip(
                keys[0::2], keys[1::2], strict=True
            ):
                key = Signal(17, reset_less=True)
                place = Signal(range(self._config.width // 2), reset_less=True)
                later = right > left
                m.d.sync += [
                    key.eq(Mux(later, right, left)),
                    place.eq(Mux(later, right_index, left_index)),
                ]
                winners.append((key, place))
            keys = winners
        return keys[0]
