# SPDX-License-Identifier: Apache-2.0
"""Faults in memory: on the bus, in weight streams, in commands, in the window; what the chip must
say of each.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.spec.commands import (
    CHECK_BYTES,
    COMMAND_BYTES,
    Command,
    Opcode,
    command_fields,
)
from meadow.spec.config import BEAT_BYTES
from meadow.spec.ranges import check_command
from meadow.spec.registers import Control, ErrorCode
from meadow.spec.streams import Codec
from workbench.campaigns.corruption import draw_fault, weight_streams
from workbench.campaigns.torture_bench import WATCHDOG_CYCLES, TortureBench
from workbench.campaigns.torture_scene import Access, Ended, Hang, Scene, SilentError

__all__ = ["MEMORY_FAULTS", "Outcome", "expect", "expect_right"]

_PAGE_BYTES = 4096
_BURST_BYTES = 64 * BEAT_BYTES
_SEQUENCER_READ = 64
"""Commands that the sequencer reads at once at most: a failed read names the first of them."""

_OBEYED_CYCLES = 150_000
"""A sealed command may be legal and take for ever; a soft reset ends it after so long."""


@dataclass(frozen=True)
class Outcome:
    """What a fault came to.

    verdict: "reported" (an error), "obeyed" (a spoiled program that is legal), "refused" (by a
    register), "right" (the result is), "stopped" (by a reset), "missed" (the program was over: no
    fault). code: of the error.
    memory: what the window must be: "right" (as golden leaves it), "partial" (each byte as before
    or as golden leaves it) or "free".
    """

    verdict: str
    code: ErrorCode = ErrorCode.NONE
    memory: str = "partial"


def expect(ended: Ended, code: ErrorCode, commands: Sequence[int] | None, what: str) -> Outcome:
    """SilentError unless a program ended with this error at one of these commands."""
    if ended.done:
        raise SilentError(f"{what} was not reported")
    if ended.code != code:
        raise SilentError(f"{what} was reported as {ended.code.name} at command {ended.command}")
    if commands is not None and ended.command not in commands:
        raise SilentError(
            f"{what}: {code.name} names command {ended.command}, not {_short(commands)}"
        )
    return Outcome("reported", code)


def expect_right(ended: Ended, what: str) -> Outcome:
    """SilentError if a program ended with an error that has no reason to."""
    if not ended.done:
        raise SilentError(f"{what} gave {ended.code.name} at command {ended.command}")
    return Outcome("right", memory="right")


def _short(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:4]))
    return named + (" .." if len(numbers) > 4 else "")


def _names(access: Access, program_start: int) -> range:
    """Commands that an error at this access may name."""
    fetched = access.start == program_start + access.command * COMMAND_BYTES
    if fetched and access.size == COMMAND_BYTES and not access.write:
        return range(max(0, access.command - _SEQUENCER_READ + 1), access.command + 1)
    return range(access.command, access.command + 1)


def slave_error(bench: TortureBench, scene: Scene) -> Outcome:
    """SLVERR at a beat that the program reads or writes."""
    random = bench.random
    write = bool(random.random() < 0.4)
    chosen = [access for access in scene.accesses if access.write == write]
    access = chosen[int(random.integers(len(chosen)))]
    place = access.start + int(random.integers(0, access.size // BEAT_BYTES)) * BEAT_BYTES
    first = next(a for a in chosen if a.start <= place < a.end)
    address = bench.device.memory_base + place
    bench.simulation.configure(error_address=address, error_reads=not write, error_writes=write)
    ended = bench.ended(bench.start())
    bench.simulation.configure(error_address=None, error_reads=True, error_writes=True)
    code = ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE
    what = f"SLVERR at {place:#x} ({'write' if write else 'read'} of command {first.command})"
    outcome = expect(ended, code, _names(first, bench.command_place(0).start), what)
    if not address - _BURST_BYTES < ended.address <= address:
        raise SilentError(f"{what}: error_address is {ended.address:#x}, not {address:#x}")
    return outcome


def decode_error(bench: TortureBench, scene: Scene) -> Outcome:
    """The memory ends in the middle of what the program uses: DECERR for all behind."""
    random, simulation = bench.random, bench.simulation
    access = scene.accesses[int(random.integers(len(scene.accesses)))]
    place = access.start + int(random.integers(0, access.size // BEAT_BYTES)) * BEAT_BYTES
    dram = simulation.memory
    simulation.memory = dram[: bench.device.memory_base - simulation.base + place]
    simulation.configure()
    ended = bench.ended(bench.start())
    simulation.memory = dram
    simulation.configure()
    what = f"DECERR from {place:#x} on"
    if ended.done:
        raise SilentError(f"{what} was not reported")
    write = ended.code == ErrorCode.WRITE_RESPONSE
    behind = [a for a in scene.accesses if a.end > place and a.write == write]
    code = ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE
    start = bench.command_place(0).start
    return expect(ended, code, sorted({n for a in behind for n in _names(a, start)}), what)


def stream(bench: TortureBench, scene: Scene) -> Outcome:
    """A weight stream with flipped bits, or that ends too early."""
    executed = {access.command for access in scene.accesses if _is_stream(bench, access)}
    streams = [
        found
        for codec in Codec
        for found in weight_streams(bench.image, codec.name)
        if found.command in executed
    ]
    fault = draw_fault(bench.random, bench.image, streams)
    fault.plant(bench.image, bench.device.memory)
    ended = bench.ended(bench.start())
    return expect(ended, ErrorCode.STREAM, [fault.stream.command], str(fault))


def _is_stream(bench: TortureBench, access: Access) -> bool:
    command = bench.command(access.command)
    return (
        command.opcode == Opcode.MATMUL
        and access.start != bench.command_place(access.command).start
    )


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


def small_window(bench: TortureBench, scene: Scene) -> Outcome:
    """A window that ends in the middle of what the program uses."""
    random = bench.random
    access = scene.accesses[int(random.integers(len(scene.accesses)))]
    beats = (access.start + int(random.integers(0, access.size))) // BEAT_BYTES
    bench.registers.write("window_beats", beats)
    ended = bench.ended(bench.start())
    bench.check_bounds(size=beats * BEAT_BYTES)
    bench.registers.set_window()
    end = beats * BEAT_BYTES
    start = bench.command_place(0).start
    beyond = {n for a in scene.accesses if a.end > end for n in _names(a, start)}
    return expect(ended, ErrorCode.WINDOW, sorted(beyond), f"a window of {beats} beats")


def moved_window(bench: TortureBench, scene: Scene) -> Outcome:
    """A window that begins some pages away, with the program where it was: its data is not where it
    says.
    """
    random, memory = bench.random, bench.device.memory
    pages = int(random.integers(1, memory.size // _PAGE_BYTES))
    pages = min(pages, bench.command_place(0).start // _PAGE_BYTES)
    if pages == 0:
        return small_window(bench, scene)
    size = memory.size - pages * _PAGE_BYTES
    bench.registers.write_wide("window_base", bench.device.memory_base + pages * _PAGE_BYTES)
    bench.registers.write("window_beats", size // BEAT_BYTES)
    bench.registers.write("program", bench.program_beats - pages * _PAGE_BYTES // BEAT_BYTES)
    bench.registers.write("program_length", bench.image.manifest.commands)
    before = memory[: memory.size - size].copy()
    ended = bench.ended(bench.ring())
    bench.check_bounds(bench.device.memory_base + pages * _PAGE_BYTES, size)
    bench.registers.set_window()
    if not np.array_equal(memory[: memory.size - size], before):
        raise SilentError("memory below the window was written")
    if ended.done or ended.code not in (ErrorCode.WINDOW, ErrorCode.STREAM):
        name = "done" if ended.done else ended.code.name
        raise SilentError(f"a window {pages} pages up was reported as {name}")
    return Outcome("reported", ended.code, "free")


def unmapped_window(bench: TortureBench, scene: Scene) -> Outcome:
    """A window where no memory is: the first read is answered DECERR."""
    bits = bench.config.address_bits
    page = int(bench.random.integers(1 << 20, 1 << bits - 13)) + (1 << bits - 13)
    bench.registers.write_wide("window_base", page * _PAGE_BYTES)
    ended = bench.ended(bench.start())
    bench.check_bounds(page * _PAGE_BYTES)
    bench.registers.set_window()
    return expect(ended, ErrorCode.READ_RESPONSE, [0], "a window without memory")


MEMORY_FAULTS: dict[str, Callable[[TortureBench, Scene], Outcome]] = {
    "slave_error": slave_error,
    "decode_error": decode_error,
    "stream": stream,
    "command": command,
    "sealed": sealed,
    "small_window": small_window,
    "moved_window": moved_window,
    "unmapped_window": unmapped_window,
}
"""By kind; called with the step prepared, returns with the program ended and the registers
mended.
"""
