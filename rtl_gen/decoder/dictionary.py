# SPDX-License-Identifier: Apache-2.0
"""Dictionary codec: packets of indices to weights."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import PACKET_IDS

__all__ = ["INDEX_BITS", "PACKET", "ROW_ENTRIES", "PacketUnpacker"]

INDEX_BITS = 12
"""Widest index."""
ROW_ENTRIES = 4
"""Table entries of one memory row."""

_PACKET_BITS = PACKET_IDS * INDEX_BITS
_PACKET_WINDOW = 128

PACKET = data.StructLayout({"valid": 1, "window": _PACKET_WINDOW, "fine": 4, "width": 4})
"""A packet: its 2-bit mode is at bit 2*fine of `window`, its indices of `width` bits follow."""


class PacketUnpacker(wiring.Component):
    """Looks up the PACKET_IDS indices of a packet: weights[chunk*i + j] = table[index i][j].

    The table is kept in PACKET_IDS/2 copies of a true dual-port memory, whose port A also writes. A packet of chunk 2
    is one part of 16 weights; two packets of chunk 1 make one.

    Parameter: config. Members
    -------
    packet: In PACKET. chunk2: In, 2 weights per index instead of 1; entries: In(13); both stable while `busy`.
    table: In {valid, row, data}: writes ROW_ENTRIES entries of 16 bits (a chunk-1 entry in the low byte); not while
        `busy`, except that a write may be in the cycle before `busy` rises.
    part: Out {valid, data}: 16 weights, first in the low byte. busy: Out, a packet is on its way, `part` included.
    bad_index: Out pulse, an index of a packet is not below `entries`; its weights are unspecified.

    Latency: `latency` cycles from packet to part. Throughput: one packet per cycle; no back-pressure. More packets per
    cycle mean more instances with one part each; the format's serial part (where the next packet starts) is not here.
    """

    latency = 6

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        rows = config.dictionary_entries // ROW_ENTRIES
        super().__init__(
            {
                "packet": In(PACKET),
                "chunk2": In(1),
                "entries": In(INDEX_BITS + 1),
                "table": In(
                    data.StructLayout({"valid": 1, "row": range(rows), "data": 16 * ROW_ENTRIES})
                ),
                "part": Out(data.StructLayout({"valid": 1, "data": 128})),
                "busy": Out(1),
                "bad_index": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid = Signal(5)
        m.d.sync += valid.eq(Cat(self.packet.valid, valid[:-1]))
        m.d.comb += self.busy.eq(self.packet.valid | valid.any() | self.part.valid)

        # Stage 1: fine shift, the mode falls off.
        bits = Signal(_PACKET_BITS)
        width = Signal(4)
        m.d.sync += [
            bits.eq((self.packet.window >> (self.packet.fine << 1))[2 : 2 + _PACKET_BITS]),
            width.eq(self.packet.width),
        ]
        # Stage 2: indices.
        indices = [Signal(INDEX_BITS, name=f"index{i}") for i in range(PACKET_IDS)]
        with m.Switch(width):
            for case in range(INDEX_BITS + 1):
                with m.Case(case):
                    m.d.sync += [
                        index.eq(bits[i * case : (i + 1) * case]) for i, index in enumerate(indices)
                    ]
        # Stages 3 and 4: table memories and their output registers.
        outside = Signal(PACKET_IDS)
        m.d.sync += [
            outside.eq(Cat(index >= self.entries for index in indices)),
            self.bad_index.eq(outside.any() & valid[2]),
        ]
        rows = self._lookup(m, indices)
        # Stage 5: the entry of each row.
        entries = [Signal(16, name=f"entry{i}") for i in range(PACKET_IDS)]
        for index, row, entry in zip(indices, rows, entries, strict=True):
            select3, select4 = Signal(2), Signal(2)
            m.d.sync += [
                select3.eq(index[:2]),
                select4.eq(select3),
                entry.eq(row.word_select(select4, 16)),
            ]
        # Stage 6: parts of 16 weights.
        half = Signal()
        low = Cat(entry[:8] for entry in entries)
        m.d.sync += self.part.valid.eq(valid[4] & (self.chunk2 | half))
        with m.If(valid[4]):
            m.d.sync += half.eq(~half & ~self.chunk2)
            with m.If(self.chunk2):
                m.d.sync += self.part.data.eq(Cat(entries))
            with m.Else():
                m.d.sync += [
                    self.part.data[:64].eq(Mux(half, self.part.data[:64], low)),
                    self.part.data[64:].eq(low),
                ]
        return m

    def _lookup(self, m: Module, indices: list[Signal]) -> list[Signal]:
        """Rows of all indices, registered twice; two indices share a memory."""
        depth = self.config.dictionary_entries // ROW_ENTRIES
        rows = []
        for copy in range(PACKET_IDS // 2):
            memory = Memory(shape=16 * ROW_ENTRIES, depth=depth, init=[])
            m.submodules[f"table{copy}"] = memory
            write, read_a, read_b = memory.write_port(), memory.read_port(), memory.read_port()
            # One address net for write and read A: a dual-port block RAM instead of two copies.
            address_a = Signal(range(depth), name=f"address_a{copy}")
            row_a, row_b = indices[2 * copy][2:], indices[2 * copy + 1][2:]
            m.d.comb += [
                address_a.eq(Mux(self.table.valid, self.table.row, row_a)),
                write.addr.eq(address_a),
                write.data.eq(self.table.data),
                write.en.eq(self.table.valid),
                read_a.addr.eq(address_a),
                read_b.addr.eq(row_b),
            ]
            for port, name in ((read_a, "a"), (read_b, "b")):
                row = Signal(16 * ROW_ENTRIES, name=f"row_{name}{copy}")
                m.d.sync += row.eq(port.data)
                rows.append(row)
        return rows
