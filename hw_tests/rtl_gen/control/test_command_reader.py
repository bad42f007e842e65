# SPDX-License-Identifier: Apache-2.0
"""The command reader: reads, order, rate and latency."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.control.sequencer_bench import CONFIG, numbered, program_of
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.commands import Opcode
from rtl_gen.control.command_check import Verdict
from rtl_gen.control.command_reader import QUEUE_COMMANDS, CommandReader


def run(count: int, taken: float, sent: float, seed: int, program: int = 0, cycles: int = 3000):
    """(reads, entries of both streams with their cycles, cycles of last beats)."""
    print(f"seed {seed}")
    chance = random.Random(salted(seed))
    dut = CommandReader(config=CONFIG)
    data = program_of([numbered(Opcode.NORM, index) for index in range(count)])
    reads, last_beats = [], []
    entries = {"fetch": [], "execute": []}

    async def bench(ctx) -> None:
        counts = {"fetch": 0, "execute": 0}
        beats: list[tuple[int, bool]] = []
        ctx.set(dut.program, program)
        ctx.set(dut.program_length, count)
        ctx.set(dut.active, 1)
        for cycle in range(cycles):
            ctx.set(dut.o_read.ready, chance.random() < 0.6)
            send = bool(beats) and chance.random() < sent
            ctx.set(dut.i_beat.valid, send)
            if send:
                beat, last = beats.pop(0)
                ctx.set(dut.i_beat.payload, beat)
                if last:
                    last_beats.append(cycle)
            if ctx.get(dut.o_read.valid) and ctx.get(dut.o_read.ready):
                read = dut.o_read.payload
                first, size = ctx.get(read.offset), ctx.get(read.beats)
                reads.append((first, size, ctx.get(read.command)))
                for index in range(first - program, first - program + size):
                    part = data[16 * index : 16 * index + 16]
                    beats.append((int.from_bytes(part, "little"), index % 4 == 3))
            for name, port, passed in (
                ("fetch", dut.o_fetch, dut.passed),
                ("execute", dut.o_execute, dut.executed),
            ):
                ready = chance.random() < taken
                ctx.set(port.ready, ready)
                ctx.set(passed, counts[name])
                if ready and ctx.get(port.valid):
                    entry = port.payload
                    entries[name].append((cycle, ctx.get(entry)))
                    counts[name] += 1
            await ctx.tick()
            if min(counts.values()) == count:
                return

    simulate(dut, bench)
    return reads, entries, last_beats, data


@pytest.mark.parametrize(("taken", "sent"), [(1.0, 1.0), (0.1, 1.0), (1.0, 0.3), (0.2, 0.5)])
@pytest.mark.parametrize("count", [1, 4, 7, 30])
def test_all_commands_in_order(count: int, taken: float, sent: float) -> None:
    reads, entries, _, data = run(count, taken, sent, seed=count, program=1000)
    assert [first for first, _, _ in reads] == list(range(1000, 1000 + 4 * count, 16))
    assert sum(size for _, size, _ in reads) == 4 * count
    assert [command for _, _, command in reads] == list(range(0, count, 4))
    for name in entries:
        assert len(entries[name]) == count
        for index, (_, entry) in enumerate(entries[name]):
            assert entry["index"] == index and entry["verdict"] == Verdict.GOOD
            assert entry["command"].to_bytes(64, "little") == data[64 * index : 64 * index + 64]


def test_latency_and_rate() -> None:
    """The queue shows a command `latency` and its own two cycles after the last beat; beats come
    without a gap.
    """
    _, entries, last_beats, _ = run(QUEUE_COMMANDS, 1.0, 1.0, seed=0)
    delays = {cycle - beat for (cycle, _), beat in zip(entries["execute"], last_beats, strict=True)}
    assert delays == {CommandReader.latency + 2}


def test_a_place_beyond_every_window_is_no_read() -> None:
    """It does not wrap around: a descriptor without beats, which the port answers with WINDOW."""
    reads, *_ = run(8, 1.0, 1.0, seed=0, program=(1 << 32) - 16, cycles=60)
    assert [(size, command) for _, size, command in reads] == [(16, 0), (0, 4)]
