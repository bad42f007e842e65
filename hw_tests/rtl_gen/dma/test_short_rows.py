# SPDX-License-Identifier: Apache-2.0
"""LOAD and STORE of short rows through the memory ports: content, and beats per cycle on the
bus.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cache

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect

from hw_tests.marks import slow
from hw_tests.streams import Bench, Rig
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.step import Sequence, Step
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.loader import Loader
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.storer import Storer
from rtl_gen.memory.activation_memory import ActivationMemory

CONFIG = unit_config(
    64, ports=4, sequences=4, activation_words=8192, max_context=1024, max_head_dim=64
)
_LATENCY = 50
"""Cycles from an address to its first beat, and from the last beat to the response."""
_WINDOW = 1 << 24


@dataclass
class Bus:
    """An AXI memory that never stalls behind a port; beat k of the window holds k. Cycles with a
    beat, beats written.
    """

    cycles: list[int] = field(default_factory=list)
    written: dict[int, int] = field(default_factory=dict)
    bursts: int = 0

    @property
    def lost(self) -> int:
        """Cycles without a beat between the first and the last one."""
        return self.cycles[-1] - self.cycles[0] + 1 - len(self.cycles)

    def memory(self, axi):
        async def serve(ctx):
            reads, writes, responses = deque(), deque(), deque()
            for ready in (axi.arready, axi.awready, axi.wready):
                ctx.set(ready, 1)
            cycle = 0
            while True:
                read = bool(reads) and reads[0][0] <= cycle
                ctx.set(axi.rvalid, read)
                if read:
                    ctx.set(axi.rdata, reads[0][1])
                    ctx.set(axi.rlast, reads[0][2])
                answer = bool(responses) and responses[0] <= cycle
                ctx.set(axi.bvalid, answer)
                (
                    _,
                    _,
                    ar,
                    ar_at,
                    ar_len,
                    r,
                    aw,
                    aw_at,
                    aw_len,
                    w,
                    data,
                    last,
                ) = await ctx.tick().sample(
                    axi.arvalid,
                    axi.araddr,
                    axi.arlen,
                    axi.rready,
                    axi.awvalid,
                    axi.awaddr,
                    axi.awlen,
                    axi.wvalid,
                    axi.wdata,
                    axi.wlast,
                )
                if answer:
                    responses.popleft()
                if read and r:
                    reads.popleft()
                    self.cycles.append(cycle)
                if ar:
                    self.bursts += 1
                    beats = range(ar_len + 1)
                    reads.extend((cycle + _LATENCY, ar_at // 16 + k, k == ar_len) for k in beats)
                if aw:
                    self.bursts += 1
                    writes.extend(aw_at // 16 + k for k in range(aw_len + 1))
                if w:
                    self.cycles.append(cycle)
                    self.written[writes.popleft()] = data
                    if last:
                        responses.append(cycle + _LATENCY)
                cycle += 1

        return serve


def _ports(m: Module) -> list[MemoryPort]:
    ports = [MemoryPort(config=CONFIG) for _ in range(CONFIG.ports)]
    for index, port in enumerate(ports):
        m.submodules[f"port{index}"] = port
        m.d.comb += port.window_beats.eq(_WINDOW)
    return ports


def _simulate(rig: Rig, ports: list[MemoryPort], bench: Bench) -> list[Bus]:
    buses = [Bus() for _ in ports]
    memories = [bus.memory(port.axi) for port, bus in zip(ports, buses, strict=True)]
    rig.simulate(bench, background=memories)
    return buses


@cache
def _loader() -> tuple[FetchUnit, Loader, list[MemoryPort], Rig]:
    """Fetch unit and loader behind the ports, elaborated once."""
    m = Module()
    m.submodules.fetch = fetch = FetchUnit(config=CONFIG)
    m.submodules.loader = loader = Loader(config=CONFIG)
    ports = _ports(m)
    for index, port in enumerate(ports):
        connect(m, fetch.o_read[index], port.i_read)
        beats = loader.i_beats[index]
        m.d.comb += [
            beats.valid.eq(port.o_beat.valid),
            beats.payload.eq(port.o_beat.payload.data),
            port.o_beat.ready.eq(beats.ready),
        ]
    return fetch, loader, ports, Rig(m, background=len(ports))


@cache
def _storer() -> tuple[Storer, ActivationMemory, list[MemoryPort], Rig]:
    """Activation memory and storer in front of the ports, elaborated once."""
    m = Module()
    m.submodules.storer = storer = Storer(config=CONFIG)
    m.submodules.memory = memory = ActivationMemory(config=CONFIG)
    connect(m, storer.o_read, memory.i_read.storer)
    ports = _ports(m)
    for index, port in enumerate(ports):
        connect(m, storer.o_write[index], port.i_write)
    return storer, memory, ports, Rig(m, background=len(ports))


def _load(rows: int, row_beats: int, offset: int = 123) -> list[Bus]:
    """Loads and checks every word of the activation memory."""
    words = row_beats // CONFIG.word_beats
    fields = {
        "destination": 7,
        "destination_stride": words + 1,
        "offset": offset,
        "row_beats": row_beats,
        "row_set": int(RowSet.FIXED),
        "rows": rows,
        "traffic": 3,
    }
    fetch, loader, ports, rig = _loader()
    loaded = {}

    async def bench(ctx):
        payload = int.from_bytes(Command(Opcode.LOAD, fields).encode(), "little")
        for target in (fetch.i_command, loader.i_command):
            ctx.set(target.payload, payload)
            ctx.set(target.valid, 1)
        ctx.set(loader.o_write.word.ready, 1)
        busy = True
        while busy:
            write = loader.o_write.word
            _, _, valid, word, busy = await ctx.tick().sample(
                write.valid, write.payload, loader.busy
            )
            for target in (fetch.i_command, loader.i_command):
                ctx.set(target.valid, 0)
            if valid:
                loaded[word.address] = word.data

    buses = _simulate(rig, ports, bench)
    expected = {}
    for row in range(rows):
        for word in range(words):
            first = offset + row * row_beats + word * CONFIG.word_beats
            parts = (first + k << 128 * k for k in range(CONFIG.word_beats))
            expected[7 + row * (words + 1) + word] = sum(parts)
    assert loaded == expected
    return buses


def _store(fields: dict[str, int], step: Step) -> list[Bus]:
    """Stores memory whose word k holds 4*k .. 4*k+3 as beats."""
    storer, memory, ports, rig = _storer()

    async def bench(ctx):
        for index, bank in enumerate(memory.banks):
            for address in range(512):
                ctx.set(bank.data[address], CONFIG.word_beats * address + index)
        ctx.set(storer.step.rows, step.rows)
        ctx.set(storer.step.sequences, len(step.sequences))
        for index, entry in enumerate(step.sequences):
            for name in ("kv_base", "position", "tokens", "first_row"):
                ctx.set(storer.step.entries[index][name], getattr(entry, name))
        command = Command(Opcode.STORE, fields)
        ctx.set(storer.i_command.payload, int.from_bytes(command.encode(), "little"))
        ctx.set(storer.i_command.valid, 1)
        await ctx.tick()
        ctx.set(storer.i_command.valid, 0)
        while ctx.get(storer.busy) or any(ctx.get(port.writes_pending) for port in ports):
            await ctx.tick()

    return _simulate(rig, ports, bench)


def _written(buses: list[Bus]) -> dict[int, int]:
    return {beat: data for bus in buses for beat, data in bus.written.items()}


@pytest.mark.parametrize(
    ("rows", "row_beats"), [slow(256, 4), (128, 8), slow(33, 16), slow(8, 128), (33, 4)]
)
def test_load(rows: int, row_beats: int) -> None:
    """Rows follow each other in DRAM: a port reads its run of them as one."""
    for bus in _load(rows, row_beats):
        assert bus.lost <= len(bus.cycles) // 20
        share = -(-rows // CONFIG.ports) * row_beats
        assert len(bus.cycles) <= share and bus.bursts <= share // 64 + share // 256 + 2


@pytest.mark.parametrize(("rows", "row_beats"), [slow(256, 4), (40, 24), slow(8, 128), (33, 4)])
def test_store_of_rows(rows: int, row_beats: int) -> None:
    stride = row_beats // CONFIG.word_beats
    fields = {
        "source": 0,
        "source_stride": stride,
        "offset": 99,
        "segments": 1,
        "segment_beats": row_beats,
        "row_set": int(RowSet.FIXED),
        "rows": rows,
        "traffic": 3,
    }
    buses = _store(fields, Step((Sequence(0, 0, 1),)))
    assert all(bus.lost <= len(bus.cycles) // 20 for bus in buses)
    assert _written(buses) == {99 + k: k for k in range(rows * row_beats)}


@pytest.mark.parametrize("heads", [2, 12])
@pytest.mark.parametrize("tokens", [(1,), (1, 1, 1, 1), (40,), (20, 3, 10)])
def test_store_of_heads(heads: int, tokens: tuple[int, ...]) -> None:
    """Keys of every head, 4 beats each, to the caches: single ones far from each other are as fast
    as runs.
    """
    entries = [
        Sequence(100_000 * index, 5, count, sum(tokens[:index]))
        for index, count in enumerate(tokens)
    ]
    fields = {
        "source": 0,
        "source_stride": heads,
        "offset": 99,
        "segments": heads,
        "segment_beats": 4,
        "segment_stride": 1000,
        "row_set": int(RowSet.CHUNK),
        "cache": 1,
        "traffic": 2,
    }
    buses = _store(fields, Step(tuple(entries)))
    assert all(bus.lost <= 4 + len(bus.cycles) // 20 for bus in buses if bus.cycles)
    expected = {}
    for entry in entries:
        for token in range(entry.tokens):
            for head in range(heads):
                word = (entry.first_row + token) * heads + head
                start = 99 + entry.kv_base + 1000 * head + 4 * (entry.position + token)
                expected |= {start + k: 4 * word + k for k in range(4)}
    assert _written(buses) == expected
