# SPDX-License-Identifier: Apache-2.0
"""Programs that end otherwise than with their END: damaged commands, resets, their length."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from firmware.registers import Registers
from firmware.session import Session
from hw_tests.mutation.chip import Chip, Killed, Trial
from hw_tests.mutation.fault_bench import (
    FaultBench,
    fails,
    fault_bench,
    require_unpublished,
    run_program,
)
from hw_tests.mutation.step_cases import BOTH
from hw_tests.seeds import salted
from meadow.spec.commands import COMMAND_BYTES, Command, Opcode
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import Control, Status
from rtl_gen.blocks.reset import RESET_CYCLES

__all__ = ["stop_trials"]

_SETTLE_READS = 2_000
_FENCES = 1200
_SEALED = COMMAND_BYTES - 4
_HARD = 12
_SHORT = 40


def _sealed(data: bytes) -> np.ndarray:
    body = data[:_SEALED]
    return np.frombuffer(body + zlib.crc32(body).to_bytes(4, "little"), np.uint8)


def _run_illegal(bench: FaultBench, chip: Chip) -> None:
    """Opcodes that do not exist, at several places of the program."""
    session = bench.open(chip)
    memory = session.device.memory
    last = bench.image.manifest.commands - 1
    for index, opcode in ((0, 0), (1, 200), (last // 2, 10), (last // 2 + 1, 11), (last, 255)):
        memory[:] = bench.before
        session.rewind()
        place = slice(bench.place(index), bench.place(index) + COMMAND_BYTES)
        memory[place] = _sealed(bytes([opcode]) + memory[place].tobytes()[1:])
        planted = memory[place].copy()
        name = f"opcode {opcode} as command {index}"
        fails(
            chip,
            name,
            ("ILLEGAL_COMMAND",),
            lambda: session.step({0: bench.tokens}, outputs=BOTH, head_all=True),
        )
        chip.require_memory(f"{name}: program", memory[place], planted)
        memory[place] = bench.before[place]
        require_unpublished(chip, bench, memory, name)
    for bit in np.random.default_rng(salted(6)).integers(0, 8 * COMMAND_BYTES, 24):
        memory[:] = bench.before
        session.rewind()
        place = bench.place(int(bit) % (last + 1)) + int(bit) // 8
        memory[place] ^= 1 << int(bit) % 8
        fails(
            chip,
            f"bit {bit} of a command",
            ("COMMAND_CHECK",),
            lambda: session.step({0: bench.tokens}, outputs=BOTH, head_all=True),
        )
    bench.good_step(chip, session, "the step after the illegal commands")


@contextmanager
def _interrupted(
    bench: FaultBench, chip: Chip, session: Session, cycle: int, name: str
) -> Iterator[Registers]:
    """A step of the image with the memory of before, up to cycle `cycle`; what the block does then
    with the registers is timed with it.
    """
    registers = session.registers
    session.device.memory[:] = bench.before
    session.rewind()
    session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
    with chip.timed(name):
        registers.write("program", bench.image.manifest.regions["program"].offset)
        registers.write("program_length", bench.image.manifest.commands)
        registers.write("control", Control.START | Control.INTERRUPT_ENABLE)
        chip.device.simulation.run(cycle)
        yield registers


def _run_resets(bench: FaultBench, chip: Chip) -> None:
    """Soft resets while a step runs, each followed by a good one."""
    session = bench.open(chip)
    for cycle in np.random.default_rng(salted(8)).integers(1, 1500, 12):
        name = f"soft reset in cycle {cycle}"
        with _interrupted(bench, chip, session, int(cycle), name) as registers:
            registers.write("control", Control.RESET | Control.INTERRUPT_ENABLE)
            for _ in range(_SETTLE_READS):
                status = Status(registers.read("status"))
                if Status.BUSY not in status:
                    break
            else:
                raise Killed(f"{name}: busy ever after")
            registers.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
        require_unpublished(chip, bench, session.device.memory, name)
        chip.same(f"{name}: status", int(status))
        bench.good_step(chip, session, f"the step after a {name}")


def _run_fences(bench: FaultBench, chip: Chip) -> None:
    """Long programs without work, that end by their length or long before it."""
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=BOTH)
    region = bench.image.manifest.regions["dump"]
    fences = [Command(Opcode.FENCE)] * _FENCES
    memory = session.device.memory
    for number, (end, length) in enumerate(
        (
            *((_FENCES - 100 - n, n) for n in (0, 1, 6, 1029)),
            *((20 + n, 0xFFFF_FFFF ^ (0x1357_9BDF >> n)) for n in range(4)),
            *((20 + n, 0x8ACE_1357 >> 2 * n) for n in range(11)),
        )
    ):
        program = [*fences]
        program[end] = Command(Opcode.END)
        data = b"".join(command.encode() for command in program)
        start = region.offset * BEAT_BYTES
        memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
        planted = memory.copy()
        with chip.timed(f"fences {number}"):
            session.registers.run_program(region.offset, length)
        chip.require("commands", session.registers.read("command_index"), min(end + 1, length))
        chip.require_memory(f"fences {number}", memory, planted)


def _run_lengths(bench: FaultBench, chip: Chip) -> None:
    """Programs that end by their length instead of by END, one command after the other."""
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
    memory = session.device.memory
    index = 0
    for count in (1, 2, 3, 5, 4, 1, 7, 64):
        count = min(count, bench.image.manifest.commands - index)
        if not count:
            break
        with chip.timed(f"{count} commands from {index}"):
            session.execute(index, count)
        chip.same(f"commands {index} to {index + count}", session.registers.read("command_index"))
        index += count
    if index == bench.image.manifest.commands:
        chip.require_memory("in pieces", memory, bench.after)


def _run_hard_resets(bench: FaultBench, chip: Chip) -> None:
    """Resets of chip and memory while a step runs, each followed by a good step on new
    registers.
    """
    session = bench.open(chip)
    random = np.random.default_rng(salted(9))
    for cycle in random.integers(1, 1500, _HARD):
        name = f"hard reset in cycle {cycle}"
        with _interrupted(bench, chip, session, int(cycle), name) as registers:
            chip.device.simulation.reset(int(random.integers(RESET_CYCLES, 9)))
            chip.require(f"{name}: status", registers.read("status"), 0)
            registers.set_window()
        require_unpublished(chip, bench, session.device.memory, name)
        bench.good_step(chip, session, f"the step after a {name}")


def _run_short(bench: FaultBench, chip: Chip) -> None:
    """Programs of every small length, with END as the last command or not there at all, and of
    lengths far behind END.
    """
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=BOTH)
    fence, end = (Command(opcode).encode() for opcode in (Opcode.FENCE, Opcode.END))
    for length in range(1, _SHORT):
        for program in ([fence] * length, [*[fence] * (length - 1), end]):
            with chip.timed(f"{length} short commands"):
                run_program(bench, session, program)
            chip.require("commands", session.registers.read("command_index"), length)
    # Every bit and every pair of bits of the length; END comes first if it is there.
    start = bench.image.manifest.regions["dump"].offset
    run_program(bench, session, [fence, fence, end])
    for bit in range(32):
        for other in range(bit + 1):
            length = 1 << bit | 1 << other
            name = f"length {length:#x}"
            with chip.timed(name):
                session.registers.run_program(start, length)
            chip.require(name, session.registers.read("command_index"), min(length, 3))
    bench.good_step(chip, session, "the step after short programs")


def stop_trials(config_name: str) -> list[Trial]:
    """Programs in pieces and of every length, illegal commands, resets."""
    raw, rice = (fault_bench(config_name, codec) for codec in ("raw", "rice"))
    return [
        Trial("pieces of a program", partial(_run_lengths, raw)),
        Trial("programs of fences", partial(_run_fences, raw)),
        Trial("short programs", partial(_run_short, raw)),
        Trial("illegal commands", partial(_run_illegal, raw)),
        Trial("soft resets", partial(_run_resets, raw)),
        Trial("soft resets, rice", partial(_run_resets, rice)),
        Trial("hard resets", partial(_run_hard_resets, raw)),
        Trial("hard resets, rice", partial(_run_hard_resets, rice)),
    ]
