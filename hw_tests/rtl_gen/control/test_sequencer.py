# SPDX-License-Identifier: Apache-2.0
"""The sequencer against a Python model of program order, waits, conditions, held fetches, errors and stop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator

from meadow.spec.commands import Command, Flag, Opcode, Outputs, Unit
from meadow.spec.registers import ErrorCode
from rtl_gen.control.sequencer import Sequencer

UNIT_PORT = {
    Opcode.LOAD: ("loader", Unit.LOADER),
    Opcode.STORE: ("storer", Unit.STORER),
    Opcode.MATMUL: ("array", Unit.ARRAY),
    Opcode.ATTEND: ("array", Unit.ARRAY),
    Opcode.NORM: ("vector", Unit.VECTOR),
    Opcode.VECTOR: ("vector", Unit.VECTOR),
}
FETCHED = (Opcode.LOAD, Opcode.MATMUL, Opcode.ATTEND)


@dataclass
class Bench:
    """Units of random duration around the sequencer; `log` holds (event, command index) in time order."""

    program: bytes
    length: int
    outputs: Outputs
    seed: int
    stop_at: int | None = None
    log: list[tuple[str, int]] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)
    overlaps: list[tuple[str, int, int]] = field(default_factory=list)
    done: bool = False
    reads: int = 0

    def run(self, cycles: int = 6000) -> Sequencer:
        dut = Sequencer(address_bits=40)
        chance = random.Random(self.seed)

        def index_of(payload: int) -> int:
            return (
                payload >> 32
            ) & 0xFFFF  # every test command carries its index in its first field

        async def bench(ctx) -> None:
            busy = {"array": 0, "vector": 0, "loader": 0, "storer": 0, "fetch": 0}
            writes = 0
            beats: list[int] = []
            ctx.set(dut.program_length, self.length)
            ctx.set(dut.outputs, int(self.outputs))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for cycle in range(cycles):
                ctx.set(dut.stop, cycle == self.stop_at)
                mask = sum(
                    bool(busy[name]) << bit
                    for bit, name in enumerate(("array", "vector", "loader", "storer"))
                )
                ctx.set(dut.unit_busy, mask)
                ctx.set(dut.fetch_busy, bool(busy["fetch"]))
                ctx.set(dut.writes_pending, writes > 0)
                ctx.set(dut.ports_idle, not beats and writes == 0)
                ctx.set(dut.o_read.ready, chance.random() < 0.5)
                ready = {name: not busy[name] and chance.random() < 0.6 for name in busy}
                for name, port in self.ports(dut):
                    ctx.set(port.ready, ready[name])
                send = bool(beats) and chance.random() < 0.5
                ctx.set(dut.i_beat.valid, send)
                if send:
                    ctx.set(dut.i_beat.payload, beats[0])
                accepted = {}
                for name, port in self.ports(dut):
                    if ready[name] and ctx.get(port.valid):
                        accepted[name] = index_of(ctx.get(port.payload))
                if ctx.get(dut.o_error.valid):
                    self.errors.append((ctx.get(dut.o_error.code), ctx.get(dut.o_error.command)))
                if ctx.get(dut.o_read.valid) and ctx.get(dut.o_read.ready):
                    first = ctx.get(dut.o_read.payload.offset)
                    count = ctx.get(dut.o_read.payload.beats)
                    self.reads += count
                    for beat in range(first, first + count):
                        chunk = self.program[16 * beat : 16 * beat + 16]
                        beats.append(int.from_bytes(chunk, "little"))
                self.done |= bool(ctx.get(dut.done))
                if send:
                    beats.pop(0)
                for name, left in list(busy.items()):
                    busy[name] = max(0, left - 1)
                    if name == "storer" and left == 1:
                        writes = chance.randint(1, 30)
                writes = max(0, writes - 1)
                for name, index in accepted.items():
                    self.overlaps.append((name, index, mask | (8 if writes else 0) << 4))
                    self.log.append(("fetch" if name == "fetch" else "execute", index))
                    busy[name] = chance.randint(1, 25)
                await ctx.tick()
                if not ctx.get(dut.busy):
                    return

        simulator = Simulator(dut)
        simulator.add_clock(1e-8)
        simulator.add_testbench(bench)
        simulator.run()
        return dut

    @staticmethod
    def ports(dut: Sequencer) -> Iterator[tuple[str, object]]:
        for name in ("fetch", "array", "vector", "loader", "storer"):
            yield name, getattr(dut, f"o_{name}")


def numbered(opcode: Opcode, index: int, **kwargs) -> Command:
    name = {
        Opcode.LOAD: "destination",
        Opcode.STORE: "source",
        Opcode.MATMUL: "source",
        Opcode.ATTEND: "query",
        Opcode.NORM: "source",
        Opcode.VECTOR: None,
    }.get(opcode)
    if opcode == Opcode.VECTOR:
        return Command(opcode, {"function": index & 15, "destination": index >> 4}, **kwargs)
    return Command(opcode, {name: index} if name else {}, **kwargs)


@pytest.mark.parametrize("seed", range(6))
def test_program_order_waits_and_conditions(seed: int) -> None:
    chance = random.Random(seed)
    commands = []
    for index in range(40):
        opcode = chance.choice([*UNIT_PORT, Opcode.FENCE])
        commands.append(
            numbered(
                opcode,
                index,
                wait=Unit(chance.choice([0, 15, chance.randrange(16)])),
                condition=Outputs(chance.choice([0, 0, 1, 2, 3])),
                flags=Flag(chance.randrange(2)) if opcode in FETCHED else Flag(0),
            )
        )
    commands.append(Command(Opcode.END))
    program = b"".join(command.encode() for command in commands)
    bench = Bench(program, len(commands), Outputs.LOGITS, seed)
    bench.run()
    assert bench.done and not bench.errors, f"seed {seed}"
    active = [
        index
        for index, command in enumerate(commands)
        if command.opcode in UNIT_PORT
        and (not command.condition or command.condition & Outputs.LOGITS)
    ]
    assert [index for event, index in bench.log if event == "execute"] == active
    fetched = [index for index in active if commands[index].opcode in FETCHED]
    assert [index for event, index in bench.log if event == "fetch"] == fetched
    for name, index, busy in bench.overlaps:
        if name == "fetch":
            if commands[index].flags & Flag.HOLD_FETCH:
                assert busy & 15 == 0, f"seed {seed}: held fetch of {index} overtook busy units"
                earlier = [k for k in active if k < index]
                place = bench.log.index(("fetch", index))
                assert all(("execute", k) in bench.log[:place] for k in earlier)
        else:
            assert busy & int(commands[index].wait) == 0, f"seed {seed}: command {index}"
    assert bench.reads == 4 * len(commands)


def test_end_stops_a_longer_program() -> None:
    commands = [numbered(Opcode.NORM, 0), Command(Opcode.END), numbered(Opcode.NORM, 2)]
    bench = Bench(b"".join(c.encode() for c in commands), 3, Outputs.ARGMAX, 1)
    bench.run()
    assert bench.done
    assert bench.log == [("execute", 0)]


def test_length_stops_a_program_without_end() -> None:
    commands = [numbered(Opcode.LOAD, index) for index in range(9)]
    bench = Bench(b"".join(c.encode() for c in commands), 5, Outputs.ARGMAX, 2)
    bench.run()
    assert bench.done
    assert [index for event, index in bench.log if event == "execute"] == list(range(5))


@pytest.mark.parametrize("opcode", [0, 9, 255])
def test_illegal_command_names_its_index(opcode: int) -> None:
    program = numbered(Opcode.NORM, 0).encode() + bytes([opcode]) + bytes(63)
    bench = Bench(program, 2, Outputs.ARGMAX, 3)
    bench.run()
    assert not bench.done
    assert bench.errors == [(ErrorCode.ILLEGAL_COMMAND, 1)]


def test_stop_abandons_the_program() -> None:
    commands = [numbered(Opcode.NORM, index) for index in range(30)]
    bench = Bench(b"".join(c.encode() for c in commands), 30, Outputs.ARGMAX, 4, stop_at=60)
    bench.run()
    assert not bench.done and not bench.errors
    assert len(bench.log) < 30
