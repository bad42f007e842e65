# SPDX-License-Identifier: Apache-2.0
"""The check of commands in hardware against meadow.spec, command by command."""

from __future__ import annotations

import random
import zlib

import pytest

from hw_tests.rtl_gen.control.sequencer_bench import numbered
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.commands import Command, Opcode, command_fields
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.ranges import check_command, field_ranges
from rtl_gen.control.command_check import CommandCheck, Verdict


def expected(config: AcceleratorConfig, data: bytes) -> Verdict:
    if zlib.crc32(data[:60]) != int.from_bytes(data[60:], "little"):
        return Verdict.CHECK
    try:
        check_command(config, Command.decode(data))
    except ValueError:
        return Verdict.ILLEGAL
    return Verdict.GOOD


def edges(config: AcceleratorConfig, opcode: Opcode, chance: random.Random) -> list[bytes]:
    """Every field at the ends of its range and one beyond, alone and with a second field of random
    value.
    """
    fields = {field.name: field for field in command_fields(opcode)}
    result = []
    for name, field in fields.items():
        low = -(1 << (field.bits - 1)) if field.signed else 0
        high = (1 << (field.bits - field.signed)) - 1
        least, most = field_ranges(config, opcode).get(name, (low, high))
        for value in {least, most, least - 1, most + 1, 0, 1, 2, 3, low, high, high // 2 + 1}:
            if low <= value <= high and name != "opcode":
                other = chance.choice(list(fields))
                for extra in ({}, {other: chance.choice([0, 1, 2, 4, 31, 32])}):
                    result.append(_changed(opcode, {**extra, name: value}))
    return result


def _changed(opcode: Opcode, values: dict[str, int]) -> bytes:
    """A legal command with some fields of other values, if they fit."""
    word = int.from_bytes(numbered(opcode, 0).encode()[:60], "little")
    offset = 0
    for field in command_fields(opcode):
        mask = (1 << field.bits) - 1
        if field.name in values and field.name != "opcode":
            word = word & ~(mask << offset) | (values[field.name] & mask) << offset
        offset += field.bits
    body = word.to_bytes(60, "little")
    return body + zlib.crc32(body).to_bytes(4, "little")


def verdicts(config: AcceleratorConfig, commands: list[bytes], chance: random.Random) -> list:
    """What the hardware says, beats with random gaps."""
    dut = CommandCheck(config=config)
    seen: list[Verdict] = []
    due: list[int] = []

    async def bench(ctx) -> None:
        cycle, held, begun = 0, 0, 0
        queue = [
            (data[start : start + 16], start) for data in commands for start in (0, 16, 32, 48)
        ]
        parts = b""
        while queue or due:
            send = bool(queue) and chance.random() < 0.8
            ctx.set(dut.i_beat.valid, send)
            # The command stands from the cycle after its last beat on, for one cycle.
            ctx.set(dut.command, held if begun == cycle else chance.getrandbits(512))
            if send:
                data, start = queue.pop(0)
                ctx.set(dut.i_beat.payload.data, int.from_bytes(data, "little"))
                ctx.set(dut.i_beat.payload.first, start == 0)
                parts = data if start == 0 else parts + data
                if start == 48:
                    held, begun = int.from_bytes(parts, "little"), cycle + 1
                    due.append(cycle + CommandCheck.latency)
            if due and due[0] == cycle:
                due.pop(0)
                seen.append(Verdict(ctx.get(dut.verdict)))
            cycle += 1
            await ctx.tick()

    simulate(dut, bench)
    return seen


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_edges_of_every_field(name: str) -> None:
    config = CONFIGURATIONS[name]
    chance = random.Random(salted(5))
    commands = [data for opcode in Opcode for data in edges(config, opcode, chance)]
    chance.shuffle(commands)
    answers = verdicts(config, commands, chance)
    kinds = dict.fromkeys(Verdict, 0)
    for data, answer in zip(commands, answers, strict=True):
        assert answer == expected(config, data), Command.decode(data)
        kinds[answer] += 1
    assert kinds[Verdict.GOOD] > 100 and kinds[Verdict.ILLEGAL] > 100


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_and_wrong_bits(seed: int) -> None:
    print(f"seed {seed}")
    config, chance = CONFIGURATIONS["small"], random.Random(salted(seed))
    commands = []
    for _ in range(120):
        body = bytes([chance.randrange(12)]) + chance.randbytes(59)
        data = body + zlib.crc32(body).to_bytes(4, "little")
        if chance.random() < 0.3:
            data = (int.from_bytes(data, "little") ^ 1 << chance.randrange(512)).to_bytes(
                64, "little"
            )
        commands.append(data)
    answers = verdicts(config, commands, chance)
    assert answers == [expected(config, data) for data in commands]
    assert {Verdict.CHECK, Verdict.ILLEGAL} <= set(answers)
