# SPDX-License-Identifier: Apache-2.0
"""Dictionary codec: packets of indices to weights."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data
from amaranth.lib.memory import Memory

from meadow.spec.streams import BLOCK_WEIGHTS, PACKET_IDS, WORD_BYTES
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.decoder.unpacker import Unpacker
from rtl_gen.decoder.weight_block import INDEX_BITS, ROW_ENTRIES, WIDTHS

__all__ = ["DictionaryUnpacker"]

_BYTE_INDEX_BITS = 8
_PAIRS = BLOCK_WEIGHTS // 2
"""Indices of a block of chunk 2, in WIDTHS / 2 packets."""


class DictionaryUnpacker(Unpacker):
    """Looks up the indices of a block: weights[chunk*i + j] = table[index i][j], index i of
    packet i div PACKET_IDS.

    Packets follow the mode word, if there is one, without gaps; PACKET_IDS indices of n bits are n
    bytes, so they begin at bytes. Of chunk 1 there are WIDTHS packets of indices of 8 bits at most,
    each looked up in a LUT RAM of its own (256 weights). Of chunk 2 there are half as many, whose
    indices are looked up in 8 copies of a true dual-port block RAM: 16 of dictionary_entries * 16
    bits, for 4096 entries 2 RAMB36 a copy, 16 in all. Both tables are always written.

    Members (UnpackerSignature)
    -------
    block: In, widths: index bits of its packets.
    chunk2: In, 2 weights per index instead of 1. It and `entries` are stable from the first block
        of a stream to its last part.
    entries: In(13), 1..min(dictionary_entries, 256**chunk).
    table: In, the last write before the first block, and not before the last part of the stream
        before.
    part: Out, `latency` cycles after its block.
    bad: Out pulse, `bad_latency` cycles after the block: an index is not below `entries`; its
        weights are unspecified.
    prime, issue: not used; need is 0.

    Throughput: a block per cycle, no back-pressure.
    """

    latency = 6
    bad_latency = 5

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table = Signal(self.table.payload.shape(), reset_less=True)
        filling = Signal()
        m.d.sync += [table.eq(self.table.payload), filling.eq(self.table.valid)]
        indices = self._indices(m)
        self._check(m, indices)
        # Cycle 3 on: table memories; cycle 5: weights.
        pairs = self._pairs(m, indices[:_PAIRS], table, filling)
        singles = self._singles(m, indices, table, filling)
        weights = payload_register(m, self.part.payload, "part_weights")
        m.d.sync += [
            self.part.valid.eq(
                delayed(m, self.block.valid, self.latency - 1, "valid", reset_less=False)
            ),
            weights.eq(Mux(self.chunk2, pairs, singles)),
        ]
        return m

    def _indices(self, m: Module) -> list[Signal]:
        """Index i of packet p at PACKET_IDS*p + i, from registers 3 cycles after the block."""
        block = self.block.payload
        half = WIDTHS // 2
        # Cycle 0: where packets begin. Those behind the first half are of chunk 1 and so have
        # narrow indices.
        content = Signal(8 * BLOCK_WEIGHTS, reset_less=True)
        m.d.sync += content.eq(Mux(block.mode_word, block.data[8 * WORD_BYTES :], block.data))
        start: Value = Const(0, 1)
        packets = []
        for packet in range(WIDTHS):
            index_bits = INDEX_BITS if packet < half else _BYTE_INDEX_BITS
            bits = Signal(PACKET_IDS * index_bits, name=f"packet{packet}", reset_less=True)
            # Cycle 1: packets to bit 0, where the first one is.
            if packet:
                begin = Signal(
                    range(min(packet, half) * INDEX_BITS + 1),
                    name=f"start{packet}",
                    reset_less=True,
                )
                m.d.sync += [begin.eq(start), bits.eq(content >> (begin << 3))]
            else:
                m.d.sync += bits.eq(content)
            start = block.widths[packet] + start if packet else block.widths[0]
            packets.append(bits)
        # Cycle 2: indices.
        indices = []
        for packet, bits in enumerate(packets):
            width = delayed(m, block.widths[packet], 2, f"width{packet}")
            index_bits = len(bits) // PACKET_IDS
            own = [
                Signal(index_bits, name=f"index{packet}_{i}", reset_less=True)
                for i in range(PACKET_IDS)
            ]
            with m.Switch(width):
                for case in range(index_bits + 1):
                    with m.Case(case):
                        m.d.sync += [
                            index.eq(bits[i * case : (i + 1) * case]) for i, index in enumerate(own)
                        ]
            indices += own
        return indices

    def _check(self, m: Module, indices: list[Signal]) -> None:
        outside = Signal(len(indices), reset_less=True)
        m.d.sync += [
            outside.eq(Cat(index >= self.entries for index in indices)),
            self.bad.eq(
                (outside[:_PAIRS].any() | (outside[_PAIRS:].any() & ~self.chunk2))
                & delayed(m, self.block.valid, self.bad_latency - 1, "check", reset_less=False)
            ),
        ]

    def _singles(
        self, m: Module, indices: list[Signal], table: data.View, filling: Signal
    ) -> Value:
        """Weights of all indices, in a table each, 2 cycles after the indices."""
        depth = (1 << _BYTE_INDEX_BITS) // ROW_ENTRIES
        weights = Signal(8 * BLOCK_WEIGHTS, reset_less=True)
        for number, index in enumerate(indices):
            memory = Memory(
                shape=8 * ROW_ENTRIES, depth=depth, init=[], attrs={"ram_style": "distributed"}
            )
            m.submodules[f"bytes{number}"] = memory
            write = memory.write_port()
            read = memory.read_port(domain="comb")
            entries = [table.data.word_select(entry, 16)[:8] for entry in range(ROW_ENTRIES)]
            m.d.comb += [
                write.addr.eq(table.row),
                write.data.eq(Cat(entries)),
                write.en.eq(filling),
                read.addr.eq(index[2:_BYTE_INDEX_BITS]),
            ]
            m.d.sync += weights[8 * number :][:8].eq(read.data.word_select(index[:2], 8))
        return delayed(m, weights, 1, "weights")

    def _pairs(self, m: Module, indices: list[Signal], table: data.View, filling: Signal) -> Value:
        """Entries of the indices, 2 cycles after them; two indices share a memory."""
        depth = self.config.dictionary_entries // ROW_ENTRIES
        entries = []
        for copy in range(len(indices) // 2):
            memory = Memory(
                shape=16 * ROW_ENTRIES, depth=depth, init=[], attrs={"ram_style": "block"}
            )
            m.submodules[f"pairs{copy}"] = memory
            write = memory.write_port()
            read_a = memory.read_port()
            read_b = memory.read_port()
            # One address net for write and read A: a dual-port block RAM instead of two copies.
            address_a = Signal(range(depth), name=f"address_a{copy}")
            index_a, index_b = indices[2 * copy : 2 * copy + 2]
            m.d.comb += [
                address_a.eq(Mux(filling, table.row, index_a[2:])),
                write.addr.eq(address_a),
                write.data.eq(table.data),
                write.en.eq(filling),
                read_a.addr.eq(address_a),
                read_b.addr.eq(index_b[2:]),
            ]
            for port, index, name in ((read_a, index_a, "a"), (read_b, index_b, "b")):
                row = Signal(16 * ROW_ENTRIES, name=f"row_{name}{copy}", reset_less=True)
                m.d.sync += row.eq(port.data)
                select = delayed(m, index[:2], 2, f"select_{name}{copy}")
                entries.append(row.word_select(select, 16))
        return Cat(entries)
