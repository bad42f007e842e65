# SPDX-License-Identifier: Apache-2.0
"""STORE through every port with random stalls: DRAM content, descriptor merging, several sequences,
rate.
"""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect

from hw_tests.marks import slow
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.dma.store_descriptors import StoreDescriptors
from rtl_gen.dma.storer import Storer
from rtl_gen.memory.activation_memory import ActivationMemory


def _config(width: int, ports: int, sequences: int = 4) -> AcceleratorConfig:
    return unit_config(
        width,
        ports=ports,
        groups=16,
        sequences=sequences,
        activation_words=512,
        max_context=4 * width,
        norm_channels=64,
    )


_STEP = Step(
    (
        Sequence(10_000, 3, 5, 0),
        Sequence(20_000, 0, 1, 5),
        Sequence(30_000, 9, 7, 6),
    )
)


class _Run:
    """Commands executed: `dram` by beat, descriptors per port, busy cycles."""

    def __init__(
        self,
        config: AcceleratorConfig,
        commands: list[dict[str, int]],
        step: Step,
        rng: random.Random,
        *,
        accept: float,
        describe: float,
        operand: float,
    ) -> None:
        self.dram: dict[int, int] = {}
        self.descriptors: list[list[tuple[int, int]]] = [[] for _ in range(config.ports)]
        self.cycles: list[int] = []
        self.content = [rng.getrandbits(8 * config.width) for _ in range(512)]
        self.exponents = [rng.randrange(8) for _ in range(512)]
        memory = ActivationMemory(config=config)
        dut = Storer(config=config)
        m = Module()
        m.submodules.memory, m.submodules.dut = memory, dut
        connect(m, dut.o_read, memory.i_read.storer)

        async def process(ctx):
            for address, word in enumerate(self.content):
                for index, bank in enumerate(memory.banks):
                    ctx.set(bank.data[address], word >> (128 * index) & ((1 << 128) - 1))
                ctx.set(memory.exponents.data[address], self.exponents[address])
            ctx.set(dut.step.rows, step.rows)
            ctx.set(dut.step.sequences, len(step.sequences))
            ctx.set(dut.step.head_all, step.head_all)
            for index, entry in enumerate(step.sequences):
                for name in ("kv_base", "position", "tokens", "first_row"):
                    ctx.set(dut.step.entries[index][name], getattr(entry, name))
            open_: list[list[int]] = [[] for _ in range(config.ports)]  # beats still to come
            todo = list(commands)
            running = False
            for _ in range(30_000):
                if not running:
                    # `busy` has fallen: every beat of the command has been taken.
                    assert not any(open_)
                    if not todo:
                        break
                    command = Command(Opcode.STORE, todo.pop(0))
                    ctx.set(dut.i_command.valid, 1)
                    ctx.set(dut.i_command.payload, int.from_bytes(command.encode(), "little"))
                    assert ctx.get(dut.busy) and ctx.get(dut.i_command.ready)
                    self.cycles.append(0)
                ctx.set(memory.i_read.operand.address.valid, rng.random() < operand)
                for port in range(config.ports):
                    write, beats = dut.o_write[port].descriptor, dut.o_write[port].data
                    # As the write engine: one descriptor at a time, data only for a known
                    # descriptor.
                    ctx.set(write.ready, not open_[port] and rng.random() < describe)
                    ctx.set(beats.ready, bool(open_[port]) and rng.random() < accept)
                    if ctx.get(beats.valid) and ctx.get(beats.ready):
                        beat = open_[port].pop(0)
                        assert beat not in self.dram, f"beat {beat} written twice"
                        self.dram[beat] = ctx.get(beats.payload)
                    if ctx.get(write.valid) and ctx.get(write.ready):
                        offset = ctx.get(write.payload.offset)
                        count = ctx.get(write.payload.beats)
                        assert count > 0 and ctx.get(write.payload.traffic) == 2
                        self.descriptors[port].append((offset, count))
                        open_[port] += range(offset, offset + count)
                await ctx.tick()
                self.cycles[-1] += 1
                ctx.set(dut.i_command.valid, 0)
                running = bool(ctx.get(dut.busy))
            assert not running and not todo, "hangs"

        simulate(m, process)


def _expected(
    config: AcceleratorConfig, run: _Run, fields: dict[str, int], step: Step
) -> dict[int, int]:
    dram = {}
    content = run.exponents if fields.get("exponents") else run.content
    size = fields["segment_beats"]
    for row in range(step.row_count(RowSet(fields["row_set"]), fields.get("rows", 0))):
        base = row * size
        if fields["cache"]:
            for entry in step.sequences:
                if entry.first_row <= row < entry.first_row + entry.tokens:
                    base = entry.kv_base + (entry.position + row - entry.first_row) * size
        for segment in range(fields["segments"]):
            for beat in range(size):
                place = segment * size + beat
                address = fields["source"] + row * fields["source_stride"]
                word = content[address + place // config.word_beats]
                value = word >> (128 * (place % config.word_beats)) & ((1 << 128) - 1)
                target = fields["offset"] + segment * fields["segment_stride"] + base + beat
                dram[target] = value
    return dram


def _commands(config: AcceleratorConfig, rng: random.Random) -> list[dict[str, int]]:
    """Stores of every kind to disjoint places."""
    commands = []
    sizes = [config.word_beats, 2 * config.word_beats, max(1, config.word_beats // 2), 1]
    cases = [
        (segments, size, cache, row_set)
        for segments in (1, 2, config.ports, config.ports + 1, 7)
        for size in sizes
        for cache, row_set in ((1, RowSet.CHUNK), (0, RowSet.HEAD))
    ]
    cases = rng.sample(cases, 5) + [(3, 1, 0, RowSet.FIXED), (1, 20, 0, RowSet.FIXED)]
    for number, (segments, size, cache, row_set) in enumerate(cases):
        if size == 20:
            size = 20 * config.word_beats
        words = -(-segments * size // config.word_beats)
        exponents = rng.randrange(2) if number else 1
        commands.append(
            {
                "source": rng.randrange(20),
                "source_stride": words + rng.randrange(3),
                "offset": 100_000 * number,
                "segments": segments,
                "segment_beats": size,
                "segment_stride": 700,
                "row_set": int(row_set),
                "rows": 6,
                "cache": cache,
                "traffic": 2,
                "exponents": exponents,
            }
        )
    return commands


@pytest.mark.parametrize(("width", "ports"), [(16, 1), (16, 4), slow(32, 2), slow(64, 4)])
@pytest.mark.parametrize(
    ("accept", "describe", "operand"), [(1.0, 1.0, 0.0), (0.5, 0.2, 0.0), (0.8, 1.0, 0.7)]
)
def test_stores_of_every_kind(
    width: int, ports: int, accept: float, describe: float, operand: float
) -> None:
    for head_all in (False, True):
        seed = f"{width} {ports} {accept} {head_all}"
        print(f"seed {seed}")
        rng = random.Random(salted(seed))
        config = _config(width, ports)
        step = Step(_STEP.sequences, head_all=head_all)
        commands = _commands(config, rng)
        run = _Run(config, commands, step, rng, accept=accept, describe=describe, operand=operand)
        expected: dict[int, int] = {}
        for fields in commands:
            expected |= _expected(config, run, fields, step)
        assert run.dram == expected


def _cache_store(config: AcceleratorConfig, segments: int, size: int) -> dict[str, int]:
    words = -(-segments * size // config.word_beats)
    return {
        "source": 3,
        "source_stride": words,
        "offset": 50,
        "segments": segments,
        "segment_beats": size,
        "segment_stride": 400,
        "row_set": int(RowSet.CHUNK),
        "cache": 1,
        "traffic": 2,
    }


def test_contiguous_rows_make_one_descriptor() -> None:
    config = _config(32, 2)
    run = _Run(
        config,
        [_cache_store(config, 3, 2)],
        _STEP,
        random.Random(salted(2)),
        accept=1.0,
        describe=1.0,
        operand=0.0,
    )
    spans = [
        (50 + entry.kv_base + 2 * entry.position, 2 * entry.tokens) for entry in _STEP.sequences
    ]
    shifted = [[(offset + 400 * j, beats) for offset, beats in spans] for j in range(3)]
    assert run.descriptors == [shifted[0] + shifted[2], shifted[1]]


def test_one_table_entry() -> None:
    config = _config(16, 2, sequences=1)
    step = Step((Sequence(7_000, 2, 9, 0),))
    for segments in (1, 3):
        fields = _cache_store(config, segments, 1)
        run = _Run(
            config, [fields], step, random.Random(salted(2)), accept=1.0, describe=1.0, operand=0.0
        )
        assert run.dram == _expected(config, run, fields, step)


def test_busy_waits_for_requests_that_the_memory_holds_back() -> None:
    """One word per port: descriptors are long taken when the last word is read."""
    config = _config(16, 4)
    fields = {"source": 7, "source_stride": 1, "segments": 1, "segment_beats": 1}
    fields |= {"row_set": int(RowSet.FIXED), "rows": 4, "cache": 0, "traffic": 2}
    fields |= {"offset": 9, "segment_stride": 0}
    run = _Run(
        config, [fields], _STEP, random.Random(salted(2)), accept=1.0, describe=1.0, operand=0.97
    )
    assert run.dram == _expected(config, run, fields, _STEP)


@pytest.mark.parametrize(("width", "ports", "segments"), [(64, 4, 8), (32, 2, 6), (16, 1, 6)])
def test_every_port_moves_a_beat_per_cycle(width: int, ports: int, segments: int) -> None:
    config = _config(width, ports)
    step = Step((Sequence(0, 0, 32, 0),))
    fields = _cache_store(config, segments, config.word_beats)
    run = _Run(
        config, [fields], step, random.Random(salted(2)), accept=1.0, describe=1.0, operand=0.0
    )
    beats = 32 * segments * config.word_beats // ports
    assert len(run.dram) == beats * ports
    # Beyond a fixed start-up, only the model's write engine costs: a cycle per descriptor.
    assert run.cycles[0] <= beats + 25 + 2 * segments // ports


def test_latency() -> None:
    """From a command to the first request, and from `start` to the first descriptor."""
    config = _config(32, 2)
    dut = Storer(config=config)
    command = Command(
        Opcode.STORE, {**_cache_store(config, 2, 2), "row_set": 0, "rows": 2, "cache": 0}
    )
    seen = {}

    async def bench(ctx):
        ctx.set(dut.i_command.payload, int.from_bytes(command.encode(), "little"))
        ctx.set(dut.i_command.valid, 1)
        for cycle in range(1, 20):
            await ctx.tick()
            ctx.set(dut.i_command.valid, 0)
            for name, port in (("read", dut.o_read.address), ("write", dut.o_write[0].descriptor)):
                if ctx.get(port.valid):
                    seen.setdefault(name, cycle)

    simulate(dut, bench)
    # The reader's request is registered once in StoreReader and once in Storer after `start`.
    assert seen["read"] == Storer.LATENCY
    assert seen["write"] == Storer.LATENCY - 3 + StoreDescriptors.LATENCY
