# SPDX-License-Identifier: Apache-2.0
"""LOAD into activation and norm parameter memory, every port with its own stalls."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import Source, Stalls, simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Command, Opcode, RowSet, Space
from meadow.spec.config import AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.dma.loader import Loader


def _config(width: int, ports: int) -> AcceleratorConfig:
    return unit_config(width, ports=ports, groups=8, activation_words=1024, norm_channels=64)


_STEP = Step((Sequence(0, 0, 5, 0), Sequence(0, 0, 4, 5)))


def _run(
    config: AcceleratorConfig,
    commands: list[dict[str, int]],
    rng: random.Random,
    *,
    send: float,
    accept: float,
) -> tuple[list[list[tuple[int, int, int]]], list[list[tuple[int, int, int]]], list[int]]:
    """Written (space, address, word) and expected, both sorted, per command, and the busy
    cycles.
    """
    beats: list[list[int]] = [[] for _ in range(config.ports)]
    expected = []
    for fields in commands:
        words = []
        rows = _STEP.row_count(RowSet(fields["row_set"]), fields.get("rows", 0))
        share = -(-rows // config.ports)
        for row in range(rows):
            for k in range(fields["row_beats"] // config.word_beats):
                parts = [rng.getrandbits(128) for _ in range(config.word_beats)]
                beats[row // share] += parts
                address = fields["destination"] + row * fields["destination_stride"] + k
                word = sum(part << (128 * i) for i, part in enumerate(parts))
                words.append((fields["space"], address, word))
        expected.append(sorted(words))
    dut = Loader(config=config)
    written: list[list[tuple[int, int, int]]] = []
    cycles: list[int] = []

    async def process(ctx):
        ctx.set(dut.step.rows, _STEP.rows)
        ctx.set(dut.step.sequences, len(_STEP.sequences))
        sources = [
            Source(port, words, Stalls(1 - send, rng))
            for port, words in zip(dut.i_beats, beats, strict=True)
        ]
        todo = list(commands)
        running = False
        table_wait = 0
        for _ in range(20_000):
            ctx.set(dut.i_command.valid, not running and bool(todo))
            if not running:
                if not todo:
                    break
                command = Command(Opcode.LOAD, todo.pop(0))
                ctx.set(dut.i_command.payload, int.from_bytes(command.encode(), "little"))
                assert ctx.get(dut.busy) and ctx.get(dut.i_command.ready)
                running = True
                written.append([])
                cycles.append(0)
            for source in sources:
                source.drive(ctx)
            ctx.set(dut.o_write.word.ready, rng.random() < accept)
            ctx.set(dut.o_table.ready, table_wait == 0)
            for source in sources:
                source.settle(ctx)
            table_wait = max(0, table_wait - 1)
            if ctx.get(dut.o_table.valid) and ctx.get(dut.o_table.ready):
                table_wait = config.width // 2  # as the writer, which spreads a word over its table
            for space, output in (
                (Space.ACTIVATION, dut.o_write.word),
                (Space.NORM, dut.o_norm),
                (Space.TABLE, dut.o_table),
            ):
                if ctx.get(output.valid) and ctx.get(output.ready):
                    payload = output.payload
                    written[-1].append(
                        (int(space), ctx.get(payload.address), ctx.get(payload.data))
                    )
                    if space == Space.ACTIVATION:
                        assert ctx.get(payload.mask) == (1 << config.word_beats) - 1
                        assert ctx.get(payload.exponent) == 0
            await ctx.tick()
            cycles[-1] += 1
            ctx.set(dut.i_command.valid, 0)
            running = bool(ctx.get(dut.busy))
        assert not running, "hangs"
        assert not any(source.payloads for source in sources)

    simulate(dut, process)
    return [sorted(words) for words in written], expected, cycles


@pytest.mark.parametrize(("width", "ports"), [(16, 1), (16, 4), (32, 2), (64, 4)])
@pytest.mark.parametrize(("send", "accept"), [(1.0, 1.0), (0.3, 1.0), (1.0, 0.4), (0.6, 0.6)])
def test_words_reach_their_space(width: int, ports: int, send: float, accept: float) -> None:
    seed = 13 * width + ports
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = _config(width, ports)
    commands = []
    for row_set, rows, space in (
        (RowSet.CHUNK, 0, Space.ACTIVATION),
        (RowSet.FIXED, 1, Space.NORM),
        (RowSet.HEAD, 0, Space.ACTIVATION),
        (RowSet.FIXED, 0, Space.NORM),
        (RowSet.FIXED, 5, Space.TABLE),
        (RowSet.FIXED, 6, Space.ACTIVATION),
    ):
        words = rng.randrange(1, 5)
        commands.append(
            {
                "destination": rng.randrange(100),
                "destination_stride": words + rng.randrange(4),
                "space": int(space),
                "row_beats": words * config.word_beats,
                "row_set": int(row_set),
                "rows": rows,
            }
        )
    written, expected, _ = _run(config, commands, rng, send=send, accept=accept)
    assert written == expected


@pytest.mark.parametrize(("width", "ports"), [(16, 1), (64, 4), (64, 2)])
def test_every_port_takes_a_beat_per_cycle(width: int, ports: int) -> None:
    config = _config(width, ports)
    fields = {
        "destination": 0,
        "destination_stride": 20,
        "row_beats": 20 * config.word_beats,
        "row_set": int(RowSet.FIXED),
        "rows": 8,
        "space": 0,
    }
    _, _, cycles = _run(config, [fields], random.Random(salted(1)), send=1.0, accept=1.0)
    beats = 8 * 20 * config.word_beats // ports
    assert cycles[0] <= beats + 3 + Loader.PREPARE_CYCLES + Loader.LATENCY + ports


def test_latency_of_a_word() -> None:
    config = _config(16, 1)
    fields = {
        "destination": 5,
        "destination_stride": 1,
        "row_beats": 1,
        "row_set": int(RowSet.FIXED),
        "rows": 1,
        "space": 0,
    }
    _, _, cycles = _run(config, [fields], random.Random(salted(1)), send=1.0, accept=1.0)
    # The command, the start, the beat, and one cycle to notice the end.
    assert cycles[0] == Loader.PREPARE_CYCLES + Loader.LATENCY + 4
