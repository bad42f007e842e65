# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a memory port; an independent AXI4 memory answers it. Run by test_memory_port_cocotb."""

from __future__ import annotations

import itertools
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiRam

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.layout import BitField, pack_fields

CONFIG = CONFIGURATIONS["tiny"]
BASE = 0x1000
BYTES = 1 << 18
READ = (
    BitField("offset", 32, ""),
    BitField("beats", 28, ""),
    BitField("route", 2, ""),
    BitField("traffic", 3, ""),
)
WRITE = (READ[0], READ[1], READ[3])


def pauses(seed: int):
    rng = random.Random(seed)
    return (rng.random() < 0.5 for _ in itertools.count())


async def prepare(dut, stall: bool) -> AxiRam:
    cocotb.start_soon(Clock(dut.clk, 4, "ns").start())
    for name in ("i_read", "i_write", "i_write_data"):
        getattr(dut, f"{name}_valid").value = 0
        getattr(dut, f"{name}_payload").value = 0
    dut.o_beat_ready.value = 0
    dut.flush.value = 0
    dut.window_base.value = BASE
    dut.window_beats.value = (BYTES - BASE) // 16
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi0"), dut.clk, dut.rst, size=BYTES)
    if stall:
        seed = cocotb.RANDOM_SEED
        for index, channel in enumerate(
            (
                ram.write_if.aw_channel,
                ram.write_if.w_channel,
                ram.write_if.b_channel,
                ram.read_if.ar_channel,
                ram.read_if.r_channel,
            )
        ):
            channel.set_pause_generator(pauses(seed + index))
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    cocotb.start_soon(check_bursts(dut))
    return ram


async def check_bursts(dut) -> None:
    """VALID holds with a stable payload, no burst crosses 4 KiB."""
    held = {"ar": None, "aw": None}
    while True:
        await RisingEdge(dut.clk)
        await ReadOnly()
        for channel, before in held.items():
            valid, ready, address, length = (
                int(getattr(dut, f"m_axi0_{channel}{name}").value)
                for name in ("valid", "ready", "addr", "len")
            )
            now = (address, length)
            assert before is None or (valid and now == before)
            held[channel] = now if valid and not ready else None
            if valid:
                assert address >> 12 == (address + 16 * length + 15) >> 12


async def send(dut, name: str, words: list[int], rng: random.Random, stall: bool) -> None:
    valid, ready = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_ready")
    for word in words:
        while stall and rng.random() < 0.4:
            await RisingEdge(dut.clk)
        getattr(dut, f"{name}_payload").value = word
        valid.value = 1
        await RisingEdge(dut.clk)
        while not int(ready.value):
            await RisingEdge(dut.clk)
        valid.value = 0


async def receive(dut, count: int, rng: random.Random, stall: bool) -> list[int]:
    beats = []
    while len(beats) < count:
        dut.o_beat_ready.value = int(not stall or rng.random() < 0.5)
        await RisingEdge(dut.clk)
        if int(dut.o_beat_valid.value) and int(dut.o_beat_ready.value):
            beats.append(int(dut.o_beat_payload.value))
    dut.o_beat_ready.value = 0
    return beats


@cocotb.test()
@cocotb.parametrize(stall=[False, True])
async def every_offset(dut, stall: bool) -> None:
    """Write and read back runs at every beat around 4 KiB; the guard bytes beside them stay."""
    ram = await prepare(dut, stall)
    rng = random.Random(cocotb.RANDOM_SEED)
    for length in (1, 2, 17, 33):
        for page, start in enumerate(range(-length, 2), start=1):
            offset = 256 * page + start
            address = BASE + 16 * offset
            guard = rng.randbytes(16 * (length + 4))
            ram.write(address - 32, guard)
            data = rng.randbytes(16 * length)
            words = [
                int.from_bytes(data[index : index + 16], "little")
                for index in range(0, len(data), 16)
            ]
            fields = {"offset": offset, "beats": length, "traffic": 3}
            feeding = cocotb.start_soon(send(dut, "i_write_data", words, rng, stall))
            await send(dut, "i_write", [pack_fields(WRITE, fields, "write")], rng, stall)
            await feeding
            await RisingEdge(dut.clk)
            while int(dut.writes_pending.value):
                await RisingEdge(dut.clk)
            written = ram.read(address - 32, len(guard))
            assert written[:32] == guard[:32] and written[-32:] == guard[-32:]
            assert written[32:-32] == data
            fields |= {"route": page & 3}
            await send(dut, "i_read", [pack_fields(READ, fields, "read")], rng, stall)
            beats = await receive(dut, length, rng, stall)
            assert [beat & (1 << 128) - 1 for beat in beats] == words
            assert all(beat >> 128 & 3 == page & 3 for beat in beats)
            assert [beat >> 130 for beat in beats] == [0] * (length - 1) + [1]
    await ClockCycles(dut.clk, 5)
    assert int(dut.idle.value)


@cocotb.test()
@cocotb.parametrize(stall=[False, True])
async def many_descriptors(dut, stall: bool) -> None:
    """Reads and writes at the same time, queued one behind the other."""
    ram = await prepare(dut, stall)
    rng = random.Random(cocotb.RANDOM_SEED)
    content = rng.randbytes(BYTES // 2)
    ram.write(0, content)
    reads = [{"offset": rng.randrange(3000), "beats": rng.randrange(1, 70)} for _ in range(30)]
    writes, position, words = [], 4096, []
    for _ in range(20):
        beats = rng.randrange(1, 70)
        writes.append({"offset": position, "beats": beats})
        words += [rng.getrandbits(128) for _ in range(beats)]
        position += beats
    tasks = [
        cocotb.start_soon(send(dut, name, items, random.Random(index), stall))
        for index, (name, items) in enumerate(
            (
                ("i_read", [pack_fields(READ, item, "read") for item in reads]),
                ("i_write", [pack_fields(WRITE, item, "write") for item in writes]),
                ("i_write_data", words),
            )
        )
    ]
    expected = [
        int.from_bytes(content[start : start + 16], "little")
        for item in reads
        for start in range(
            BASE + 16 * item["offset"], BASE + 16 * (item["offset"] + item["beats"]), 16
        )
    ]
    beats = await receive(dut, len(expected), rng, stall)
    assert [beat & (1 << 128) - 1 for beat in beats] == expected
    for task in tasks:
        await task
    await RisingEdge(dut.clk)
    while not int(dut.idle.value):
        await RisingEdge(dut.clk)
    written = ram.read(BASE + 16 * 4096, 16 * len(words))
    assert written == b"".join(word.to_bytes(16, "little") for word in words)
