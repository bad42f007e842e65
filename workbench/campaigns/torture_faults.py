# SPDX-License-Identifier: Apache-2.0
"""Faults in memory: on the bus, in weight streams and in the window; what the chip must say of
each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from meadow.spec.commands import (
    COMMAND_BYTES,
    Opcode,
)
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode
from meadow.spec.streams import Codec
from workbench.campaigns.stream_faults import draw_fault, weight_streams
from workbench.campaigns.torture_bench import TortureBench
from workbench.campaigns.torture_commands import command, sealed
from workbench.campaigns.torture_outcome import Outcome, expect
from workbench.campaigns.torture_scene import Access, Scene, SilentError

__all__ = ["MEMORY_FAULTS"]

_PAGE_BYTES = 4096
_BURST_BYTES = 64 * BEAT_BYTES
_SEQUENCER_READ = 64
"""Commands that the sequencer reads at once at most: a failed read names the first of them."""


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
