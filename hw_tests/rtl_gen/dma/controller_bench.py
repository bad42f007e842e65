# SPDX-License-Identifier: Apache-2.0
"""What surrounds a DMA controller in its tests: DRAM, operand memory, decoders, and the golden
machine that executes the same commands.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np

from hw_tests.rtl_gen.dma.fetch_bench import expected, handed, set_step
from hw_tests.rtl_gen.dma.memory_slave import BASE, Memory, word
from hw_tests.seeds import salted
from hw_tests.streams import Rig, Sink, Stalls, put
from meadow.golden.machine.machine import Machine
from meadow.spec.commands import Command, Opcode, RowSet, Space, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.interfaces.dma import Route
from rtl_gen.interfaces.tile import DECODE_JOB
from rtl_gen.memory.activation_memory import ActivationMemory

__all__ = ["WINDOW_BEATS", "background_benches", "check_commands", "some_commands"]

WINDOW_BEATS = 1 << 12
"""Of the DMA window; its beat n holds `word(n)`."""


def background_benches(config: AcceleratorConfig) -> int:
    """Room that a Rig needs for `check_commands`."""
    return 3 * config.ports + 4


def _machine(config: AcceleratorConfig, rng: random.Random) -> Machine:
    """The golden machine with the DRAM of Memory and a random operand memory."""
    content = b"".join(word(beat).to_bytes(BEAT_BYTES, "little") for beat in range(WINDOW_BEATS))
    machine = Machine(config, np.frombuffer(content, np.uint8).copy())
    generator = np.random.default_rng(salted(rng.getrandbits(32)))
    machine.activations[:] = generator.integers(0, 256, machine.activations.shape, np.uint8)
    machine.exponents[:] = generator.integers(0, 8, machine.exponents.shape, np.uint8)
    return machine


class _Chip:
    """The memories that a controller fills and reads, each by word."""

    def __init__(self, dut: Any, machine: Machine, stalls: Stalls) -> None:
        self.dut, self.stalls = dut, stalls
        self.activations, self.exponents = machine.activations.copy(), machine.exponents.copy()
        self.norm, self.table = machine.norm_parameters.copy(), machine.activation_table.copy()

    def _words(self, data: int, like: np.ndarray) -> np.ndarray:
        return np.frombuffer(int(data).to_bytes(like.shape[1], "little"), np.uint8)

    async def load(self, ctx: Any) -> None:
        dut = self.dut
        for_memory, for_table = (
            Sink(port, self.stalls, count=None) for port in (dut.o_write.word, dut.o_table)
        )
        for_norm = Sink(dut.o_norm)
        while True:
            for sink in (for_memory, for_table, for_norm):
                sink.drive(ctx)
            for sink, memory in (
                (for_memory, self.activations),
                (for_table, self.table),
                (for_norm, self.norm),
            ):
                if sink.settle(ctx):
                    payload = sink.received.pop()
                    memory[payload.address] = self._words(payload.data, memory)
                    if memory is self.activations:
                        self.exponents[payload.address] = payload.exponent
            await ctx.tick()

    async def store(self, ctx: Any) -> None:
        read = self.dut.o_read
        coming: list[int | None] = [None] * (ActivationMemory.READ_LATENCY["storer"] - 1)
        while True:
            ready = not self.stalls()
            ctx.set(read.address.ready, ready)
            asked = ready and ctx.get(read.address.valid)
            coming.append(ctx.get(read.address.payload) if asked else None)
            await ctx.tick()
            address = coming.pop(0)
            ctx.set(read.data.valid, address is not None)
            if address is not None:
                ctx.set(
                    read.data.payload, int.from_bytes(self.activations[address].tobytes(), "little")
                )
                ctx.set(read.exponent, int(self.exponents[address]))


def some_commands(config: AcceleratorConfig, rng: random.Random) -> tuple[list[Command], Step]:
    """LOADs into every memory, STOREs of words and of exponents to the K/V cache and elsewhere, and
    between them a MATMUL and an ATTEND, whose data decoders are given.
    """
    step = Step((Sequence(2048, 3, 3, 0), Sequence(2560, 0, 2, 3)))
    beats = config.word_beats

    def load(space: Space, words: int, rows: int) -> Command:
        return Command(
            Opcode.LOAD,
            {
                "offset": rng.randrange(512),
                "destination": rng.randrange(8),
                "destination_stride": words + rng.randrange(3) if rows > 1 else words,
                "space": int(space),
                "row_beats": words * beats,
                "row_set": int(RowSet.FIXED if rows else RowSet.CHUNK),
                "rows": rows,
                "traffic": int(TrafficClass.ACTIVATIONS),
            },
        )

    def store(**fields: int) -> Command:
        common = {"source": rng.randrange(8), "source_stride": 4, "segments": 2}
        common |= {"segment_beats": beats, "row_set": int(RowSet.CHUNK)}
        return Command(Opcode.STORE, common | {"traffic": int(TrafficClass.KV_WRITE)} | fields)

    ports = range(config.ports)
    weights = {f"offset{port}": 1024 + 100 * port for port in ports}
    weights |= {f"beats{port}": rng.randrange(60, 90) for port in ports}
    attend = {"blocks": 1, "segment_beats": 1, "key_offset": 0, "value_offset": 64, "heads": 1}
    commands = [
        load(Space.ACTIVATION, 3, 0),
        Command(Opcode.MATMUL, {"slices": 2, "tiles": 1} | weights),
        store(offset=0, segment_stride=128, cache=1),
        load(Space.NORM, 2, 1),
        load(Space.TABLE, 2, 1),
        Command(Opcode.ATTEND, attend | {"block_stride": 128}),
        store(offset=3072, segment_stride=64, exponents=1),
        load(Space.ACTIVATION, 1, 5),
    ]
    return commands, step


def check_commands(
    config: AcceleratorConfig,
    commands: list[Command],
    step: Step,
    tried: tuple[Any, Rig],
    *,
    stall: float = 0.0,
    seed: int = 0,
) -> None:
    """Execute commands; AssertionError unless memories and DRAM are then those of the golden
    machine, and decoders got the beats that FetchUnit's enumeration expects.

    tried: a DmaController and its Rig.
    """
    print(f"seed={seed}")
    dut, rig = tried
    rng = random.Random(salted(seed))
    machine = _machine(config, rng)
    chip = _Chip(dut, machine, Stalls(stall, rng))
    drams = [
        Memory(
            SimpleNamespace(axi=port, config=config),
            stall=stall,
            seed=seed + index,
            window=WINDOW_BEATS,
        )
        for index, port in enumerate(dut.m_axi)
    ]
    jobs = [Sink(port, Stalls(stall, f"{seed} job {i}")) for i, port in enumerate(dut.o_decode)]
    beats = [Sink(port, Stalls(stall, f"{seed} beat {i}")) for i, port in enumerate(dut.o_beat)]
    errors = [Sink(port) for port in dut.o_error]

    async def watch(ctx: Any) -> None:
        while True:
            for sink in errors:
                sink.drive(ctx)
                sink.settle(ctx)
            await ctx.tick()

    async def wait(ctx: Any, *busy: Any) -> None:
        await ctx.tick().repeat(3)
        while any(ctx.get(signal) for signal in busy):
            await ctx.tick()

    async def execute(ctx: Any) -> None:
        ctx.set(dut.window_base, BASE)
        ctx.set(dut.window_beats, WINDOW_BEATS)
        set_step(ctx, dut.step, step)
        for index, command in enumerate(commands):
            bits = handed(command, index)
            if command.opcode == Opcode.STORE:
                await put(ctx, dut.i_store, bits)
                await wait(ctx, dut.store_busy, dut.writes_pending)
                continue
            await put(ctx, dut.i_fetch, bits)
            if command.opcode == Opcode.LOAD:
                await put(ctx, dut.i_load, bits)
                await wait(ctx, dut.load_busy)
        await wait(ctx, dut.fetch_busy)
        while not ctx.get(dut.idle):
            await ctx.tick()
        await ctx.tick().repeat(20)

    rig.simulate(
        execute,
        background=[
            *(dram.run for dram in drams),
            *(sink.run for sinks in (jobs, beats) for sink in sinks),
            *(chip.load, chip.store, watch),
        ],
    )
    for command in commands:
        if command.opcode in (Opcode.LOAD, Opcode.STORE):
            machine.execute(command, step)
    assert all(sink.received == [] for sink in errors)
    for mine, golden in (
        (chip.activations, machine.activations),
        (chip.exponents, machine.exponents),
        (chip.norm, machine.norm_parameters),
        (chip.table, machine.activation_table),
        (_written(drams), machine.dram),
    ):
        assert np.array_equal(mine, golden)
    for port in range(config.ports):
        _check_decoder(config, commands, step, port, jobs[port], beats[port])


def _written(drams: list[Memory]) -> np.ndarray:
    """The window as its ports have left it."""
    content = [word(beat) for beat in range(WINDOW_BEATS)]
    for dram in drams:
        for beat, value in dram.written.items():
            content[beat] = value
    stored = b"".join(value.to_bytes(BEAT_BYTES, "little") for value in content)
    return np.frombuffer(stored, np.uint8)


def _check_decoder(
    config: AcceleratorConfig,
    commands: list[Command],
    step: Step,
    port: int,
    jobs: Sink,
    beats: Sink,
) -> None:
    """What the decoder of a port was given."""
    asked: list[dict[str, int]] = []
    data: list[int] = []
    for index, command in enumerate(commands):
        if command.opcode == Opcode.STORE:
            continue
        reads, fills = expected(command, step, config, port, index)
        asked += [dict.fromkeys(DECODE_JOB.members, 0) | fill for fill in fills]
        for read in reads:
            if read["route"] != Route.LOAD:
                data += range(read["offset"], read["offset"] + read["beats"])
    assert [{name: job[name] for name in DECODE_JOB.members} for job in jobs.received] == asked
    assert beats.received == [word(beat) for beat in data]
