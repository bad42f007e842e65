# SPDX-License-Identifier: Apache-2.0
"""Units of random duration around the sequencer, and commands that it takes."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.commands import Command, Opcode, Outputs, Unit
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.ranges import check_command
from meadow.spec.registers import ErrorCode
from rtl_gen.control.sequencer import Sequencer
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.units import HANDED_COMMAND

__all__ = [
    "CONFIG",
    "FETCHED",
    "UNIT_PORT",
    "Bench",
    "ends_with",
    "flipped",
    "numbered",
    "program_of",
    "report",
    "run",
    "sealed",
]

CONFIG = CONFIGURATIONS["tiny"]
UNIT_PORT = {
    Opcode.LOAD: ("loader", Unit.LOADER),
    Opcode.STORE: ("storer", Unit.STORER),
    Opcode.MATMUL: ("array", Unit.ARRAY),
    Opcode.ATTEND: ("array", Unit.ARRAY),
    Opcode.NORM: ("vector", Unit.VECTOR),
    Opcode.VECTOR: ("vector", Unit.VECTOR),
    Opcode.SOFTMAX: ("vector", Unit.VECTOR),
}
FETCHED = (Opcode.LOAD, Opcode.MATMUL, Opcode.ATTEND)
_LEAST = {
    Opcode.LOAD: {"row_beats": 1},
    Opcode.STORE: {"segments": 1, "segment_beats": 1},
    Opcode.MATMUL: {"tiles": 1, "slices": 1, "row_set": 1, "beats0": 1},
    Opcode.ATTEND: {"blocks": 1, "segment_beats": 1, "score_shift": 1, "heads": 1},
    Opcode.NORM: {"words": 2, "channels": 1, "epsilon": 1, "mean_shift": 1, "output_shift": 1},
    Opcode.SOFTMAX: {"rows": 1, "keys": 1},
}


def numbered(opcode: Opcode, index: int, **kwargs: Any) -> Command:
    """A command that the device takes, with its index in an address."""
    name = {
        Opcode.LOAD: "destination",
        Opcode.STORE: "source",
        Opcode.MATMUL: "source",
        Opcode.ATTEND: "query",
        Opcode.NORM: "source",
        Opcode.SOFTMAX: "source",
        Opcode.VECTOR: "destination",
    }.get(opcode)
    values = {**_LEAST.get(opcode, {}), **({name: index} if name else {})}
    command = Command(opcode, values, **kwargs)
    check_command(CONFIG, command)
    return command


def program_of(commands: list[Command]) -> bytes:
    return b"".join(command.encode() for command in commands)


@dataclass
class Bench:
    """`log` holds (event, command index) in time order.

    events: called every cycle with (cycle, context, sequencer, bench) after the bench has set its
        inputs.
    """

    program: bytes
    length: int
    outputs: Outputs
    seed: int
    stop_at: int | None = None
    watchdog: int = 0
    longest: dict[str, int] = field(default_factory=dict)  # cycles of a unit's command, else 25
    hung: set[str] = field(default_factory=set)  # units that never end
    events: Callable[..., None] | None = None
    log: list[tuple[str, int]] = field(default_factory=list)
    errors: list[dict[str, int]] = field(default_factory=list)
    overlaps: list[tuple[str, int, int]] = field(default_factory=list)
    handed: dict[tuple[str, int], int] = field(default_factory=dict)
    done: bool = False
    reads: int = 0
    ended_at: int | None = None

    def run(self, cycles: int = 6000) -> Sequencer:
        dut = Sequencer(config=CONFIG)
        chance = random.Random(salted(self.seed))

        async def bench(ctx) -> None:
            busy = {"array": 0, "vector": 0, "loader": 0, "storer": 0, "fetch": 0}
            writes = 0
            beats: list[int] = []
            last: dict[str, int] = {}
            ctx.set(dut.program_length, self.length)
            ctx.set(dut.outputs, int(self.outputs))
            ctx.set(dut.watchdog, self.watchdog)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for cycle in range(cycles):
                ctx.set(dut.stop, cycle == self.stop_at)
                if ctx.get(dut.unit_reset):
                    busy = dict.fromkeys(busy, 0)
                    beats.clear()
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
                ctx.set(dut.i_fault.valid, 0)
                ctx.set(dut.i_outside, 0)
                if self.events is not None:
                    self.events(cycle, ctx, dut, self)
                accepted = {}
                for name, port in self.ports(dut):
                    if ready[name] and ctx.get(port.valid):
                        accepted[name] = self._index(ctx.get(port.payload))
                if ctx.get(dut.o_error.valid):
                    error = ctx.get(dut.o_error.payload)
                    self.errors.append({name: error[name] for name in error.shape().members})
                if ctx.get(dut.o_read.valid) and ctx.get(dut.o_read.ready):
                    read = dut.o_read.payload
                    first, count = ctx.get(read.offset), ctx.get(read.beats)
                    assert first == 4 * ctx.get(read.command)
                    self.reads += count
                    for beat in range(first, first + count):
                        chunk = self.program[16 * beat : 16 * beat + 16]
                        beats.append(int.from_bytes(chunk, "little"))
                self.done |= bool(ctx.get(dut.done))
                if send and beats:
                    beats.pop(0)
                for name, left in list(busy.items()):
                    busy[name] = max(0, left - (name not in self.hung))
                    if name == "storer" and left == 1:
                        writes = chance.randint(1, 30)
                writes = max(0, writes - 1)
                for name, index in accepted.items():
                    event = "fetch" if name == "fetch" else "execute"
                    self.overlaps.append((name, index, mask | (8 if writes else 0) << 4))
                    self.log.append((event, index))
                    self.handed[event, index] = cycle
                    busy[name] = chance.randint(1, self.longest.get(name, 25))
                    if name in HANDED_COMMAND.members:
                        last[name] = index
                await ctx.tick()
                for name, index in last.items():
                    assert ctx.get(dut.handed_command[name]) == index
                if not ctx.get(dut.busy):
                    self.ended_at = cycle
                    return

        simulate(dut, bench)
        return dut

    def _index(self, payload: int) -> int:
        """The index in place of wait, condition and flags; all else as in the program."""
        index = payload >> 8 & 0xFFFFFF
        original = int.from_bytes(self.program[64 * index : 64 * index + 64], "little")
        others = ~(0xFFFFFF << 8)
        assert payload & others == original & others
        return index

    @staticmethod
    def ports(dut: Sequencer) -> Iterator[tuple[str, Any]]:
        yield "fetch", dut.o_fetch
        yield from members(dut.o_unit).items()


def report(ctx, dut: Sequencer, fault: dict[str, int], port: int = 0) -> None:
    """A port or decoder reports a fault in this cycle."""
    ctx.set(dut.i_fault.payload, {"fault": fault, "port": port})
    ctx.set(dut.i_fault.valid, 1)


def sealed(body: bytes) -> bytes:
    """The 60 bytes of a command with their CRC-32."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def flipped(data: bytes, bit: int) -> bytes:
    """A command with one wrong bit."""
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(64, "little")


def run(program: list[Command | bytes], seed: int = 1, **options: Any) -> Bench:
    """A program that has ended."""
    data = b"".join(part if isinstance(part, bytes) else part.encode() for part in program)
    bench = Bench(data, options.pop("length", len(program)), Outputs.ARGMAX, seed, **options)
    bench.run()
    assert bench.ended_at is not None, f"seed {seed}"
    return bench


def ends_with(bench: Bench, code: ErrorCode, command: int) -> None:
    """It has ended with this error of this command, and no other."""
    seen = [(error["code"], error["command"]) for error in bench.errors]
    assert not bench.done and seen == [(code, command)], f"seed {bench.seed}"
