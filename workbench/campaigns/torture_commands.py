# SPDX-License-Identifier: Apache-2.0
"""Faults in commands: with a wrong check, or with another value and the right one."""

from __future__ import annotations

import zlib

import numpy as np

from meadow.spec.commands import CHECK_BYTES, COMMAND_BYTES, Command, Opcode, command_fields
from meadow.spec.ranges import check_command
from meadow.spec.registers import Control, ErrorCode
from workbench.campaigns.torture_bench import WATCHDOG_CYCLES, TortureBench
from workbench.campaigns.torture_outcome import Outcome, expect
from workbench.campaigns.torture_scene import Hang, Scene, SilentError

__all__ = ["command", "sealed"]

_OBEYED_CYCLES = 150_000
"""A sealed command may be legal and take for ever; a soft reset ends it after so long."""


def command(bench: TortureBench, scene: Scene) -> Outcome:
    """A command with flipped bits, of zeros, or of random bytes: its CRC-32 tells."""
    random = bench.random
    index = int(random.choice(scene.executed))
    data = bench.device.memory[bench.command_place(index)]
    choice = random.random()
    if choice < 0.7:
        count = int(random.choice([1, 2, 3, 32]))
        places = random.choice(8 * COMMAND_BYTES, count, replace=False)
        for place in places:
            data[place // 8] ^= 1 << place % 8
        what = f"command {index} with {count} flipped bits {sorted(map(int, places))[:4]}"
    elif choice < 0.85:
        data[:] = 0
        what = f"command {index} of zeros"
    else:
        data[:] = random.integers(0, 256, COMMAND_BYTES, np.uint8)
        what = f"command {index} of random bytes"
    ended = bench.ended(bench.start())
    return expect(ended, ErrorCode.COMMAND_CHECK, [index], what)


def sealed(bench: TortureBench, scene: Scene) -> Outcome:
    """A field of a command with another value and the right CRC-32: an error or done, but never a
    hang.
    """
    random = bench.random
    index = int(random.choice(scene.executed))
    place = bench.command_place(index)
    word = int.from_bytes(bench.device.memory[place].tobytes(), "little")
    before = bench.command(index)
    fields = command_fields(before.opcode)
    chosen = int(random.integers(len(fields)))
    low = sum(field.bits for field in fields[:chosen])
    field = fields[chosen]
    mask = (1 << field.bits) - 1
    old = word >> low & mask
    value = old
    while value == old:
        value = _draw_value(random, old, field.bits) & mask
    body = (word & ~(mask << low) | value << low).to_bytes(COMMAND_BYTES, "little")[:-CHECK_BYTES]
    raw = body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")
    bench.device.memory[place] = np.frombuffer(raw, np.uint8)
    what = f"{before.opcode.name} (command {index}) with {field.name} {value} for {old}"
    try:
        ended = bench.ended(bench.start(), _OBEYED_CYCLES)
    except Hang as hang:
        if not _moves(bench):
            raise Hang(f"{what}: {hang}") from None
        bench.registers.write("control", Control.RESET | Control.INTERRUPT_ENABLE)
        bench.until_ready(WATCHDOG_CYCLES)
        return Outcome("stopped", memory="free")
    illegal = _illegal(bench, raw)
    if illegal is not None:
        return expect(ended, ErrorCode.ILLEGAL_COMMAND, [index], f"{what} ({illegal})")
    if ended.done:
        return Outcome("obeyed", memory="free")
    if ended.code in (
        *(ErrorCode.COMMAND_CHECK, ErrorCode.READ_RESPONSE, ErrorCode.WRITE_RESPONSE),
        ErrorCode.NONE,
    ) and not _stores(before, raw):
        raise SilentError(f"{what} was reported as {ended.code.name} at command {ended.command}")
    own = (ErrorCode.ILLEGAL_COMMAND, ErrorCode.WINDOW, ErrorCode.ACTIVATION)
    if ended.code in own and ended.command != index:
        raise SilentError(f"{what}: {ended.code.name} names command {ended.command}")
    return Outcome("reported", ended.code, "free")


def _draw_value(random: np.random.Generator, old: int, bits: int) -> int:
    """Anything, a neighbour, another bit, or an end of the range."""
    choice = random.random()
    if choice < 0.4:
        return int(random.integers(0, 1 << bits))
    if choice < 0.6:
        return old ^ 1 << int(random.integers(0, bits))
    if choice < 0.8:
        return old + int(random.choice([-2, -1, 1, 2]))
    return int(random.choice([0, 1, (1 << bits) - 1, 1 << bits - 1]))


def _illegal(bench: TortureBench, raw: bytes) -> str | None:
    """Which rule of the contract the command breaks, if one."""
    try:
        check_command(bench.config, Command.decode(raw))
    except ValueError as error:
        return str(error)
    return None


def _stores(before: Command, raw: bytes) -> bool:
    """Whether the command may write over the program."""
    return Opcode.STORE in (before.opcode, raw[0])


def _moves(bench: TortureBench) -> bool:
    """Whether the chip still moves data or commands."""
    seen = bench.simulation.counters, bench.registers.read("command_index")
    bench.simulation.run(WATCHDOG_CYCLES)
    return seen != (bench.simulation.counters, bench.registers.read("command_index"))
