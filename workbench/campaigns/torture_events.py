# SPDX-License-Identifier: Apache-2.0
"""Faults in time: resets, a silent memory, register accesses at the wrong moment, registers that
say nonsense.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from firmware.device import RegisterError
from meadow.spec.commands import COMMAND_BYTES
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import SEQUENCE_FIELDS, Control, ErrorCode, Status, register_map
from workbench.campaigns.torture_bench import WATCHDOG_CYCLES, TortureBench
from workbench.campaigns.torture_outcome import Outcome, expect, expect_right
from workbench.campaigns.torture_scene import Hang, Scene, SilentError

__all__ = ["EVENTS"]

_READY_CYCLES = 20_000
"""A soft reset waits for a few bursts of a slow memory."""

_QUIET_CYCLES = 600
"""More than a program with a slow memory goes without progress."""


def _run_into(bench: TortureBench) -> bool:
    """Start, and run to a random cycle of the program; False if that is already over."""
    bench.start()
    bench.simulation.run(int(bench.random.integers(0, max(2, bench.cycles))), until_interrupt=True)
    return not bench.device.interrupt


def soft_reset(bench: TortureBench, scene: Scene) -> Outcome:
    """At a random cycle, at times twice, at times with a doorbell before the chip is ready."""
    random, registers = bench.random, bench.registers
    in_time = _run_into(bench)
    registers.write("control", Control.RESET | Control.INTERRUPT_ENABLE)
    if random.random() < 0.4:
        bench.simulation.run(int(random.integers(0, 200)))
        registers.write("control", Control.RESET | Control.INTERRUPT_ENABLE)
    if random.random() < 0.3 and Status.BUSY in bench.status():
        refused = _refuses(bench, "control", Control.START | Control.INTERRUPT_ENABLE)
        if not refused and Status.BUSY in bench.status() and not _begun(bench):
            raise SilentError(
                "a doorbell between soft reset and ready was neither refused nor obeyed"
            )
        if not refused:
            bench.ended(bench.simulation.cycle)
    bench.until_ready(_READY_CYCLES)
    registers.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
    if bench.device.interrupt:
        raise SilentError("the interrupt stays after soft reset and acknowledgement")
    return Outcome("stopped" if in_time else "missed")


def _begun(bench: TortureBench) -> bool:
    """Whether a program runs that was started just now."""
    return bench.registers.read_wide("cycles") < 100


def hard_reset(bench: TortureBench, scene: Scene) -> Outcome:
    """Chip and memory together at a random cycle; the registers are new then."""
    in_time = _run_into(bench)
    bench.simulation.reset(int(bench.random.integers(2, 9)))
    if bench.status() or bench.registers.read("error_code"):
        raise SilentError(f"status is {bench.status()!r} after a hardware reset")
    bench.registers.set_window()
    bench.registers.set_watchdog(WATCHDOG_CYCLES)
    return Outcome("stopped" if in_time else "missed")


def silence(bench: TortureBench, scene: Scene) -> Outcome:
    """Some channels of the memory stop at a random cycle: briefly (the result is right), or until
    the watchdog reports it.
    """
    random, simulation = bench.random, bench.simulation
    limit = 0 if random.random() < 0.15 else int(random.integers(1500, 4000))
    bench.registers.set_watchdog(limit)
    settings = simulation.settings
    channels = random.random(5) < random.choice([0.2, 0.5, 1])
    channels[int(random.integers(5))] = True
    stalls = tuple(
        256 if silent else stall
        for silent, stall in zip(channels, settings.channel_stalls, strict=True)
    )
    began = simulation.cycle
    in_time = _run_into(bench)
    bench.set_memory(replace(settings, stalls=stalls))
    kind = (
        "brief" if limit == 0 else str(random.choice(["brief", "near", "long"], p=[0.3, 0.2, 0.5]))
    )
    reach = 10_000 if limit == 0 else limit - _QUIET_CYCLES if kind == "brief" else 2 * limit
    if kind == "long":
        simulation.run(8 * limit + 10 * max(bench.cycles, 1000), until_interrupt=True)
        if not bench.device.interrupt:
            raise Hang(f"a silent memory (stalls {stalls}) is not reported, {bench.status()!r}")
    else:
        simulation.run(int(random.integers(1, reach)), until_interrupt=True)
        bench.set_memory(settings)
    what = f"{kind} silence (stalls {stalls}, watchdog {limit})"
    ended = bench.ended(began)
    bench.set_memory(settings)
    bench.until_ready(_READY_CYCLES)
    if bench.device.interrupt:
        raise SilentError(f"{what}: interrupt after it was acknowledged")
    bench.registers.set_watchdog(WATCHDOG_CYCLES)
    if ended.done:
        outcome = expect_right(ended, what)
        return outcome if in_time else replace(outcome, verdict="missed")
    if kind == "brief":
        raise SilentError(f"{what} gave {ended.code.name} at command {ended.command}")
    return expect(ended, ErrorCode.WATCHDOG, scene.executed, what)


def busy_writes(bench: TortureBench, scene: Scene) -> Outcome:
    """Writes to registers, doorbells and accesses beside the map while a program runs; none has an
    effect.
    """
    random, began = bench.random, bench.simulation.cycle
    bench.start()
    entries = register_map(bench.config)
    planted = 0
    for _ in range(int(random.integers(1, 9))):
        bench.simulation.run(
            int(random.integers(0, max(2, bench.cycles // 4))), until_interrupt=True
        )
        if bench.device.interrupt:
            break
        _disturb(bench, entries)
        planted += 1
    outcome = expect_right(bench.ended(began), "a program with register accesses beside it")
    return outcome if planted else replace(outcome, verdict="missed")


def _disturb(bench: TortureBench, entries: tuple) -> None:
    """One access to a register that must be refused; one that came when the program was over is
    undone.
    """
    random, device = bench.random, bench.device
    value = int(random.integers(0, 1 << 32))
    choice = random.random()
    if choice < 0.2:
        offset = 0xFFC
        _read_unmapped(bench, offset)
        _must_refuse(bench, offset, value)
    elif choice < 0.4:
        fixed = [entry for entry in entries if entry.access == "ro"]
        _must_refuse(bench, fixed[int(random.integers(len(fixed)))].offset, value)
    else:
        held = [entry for entry in entries if entry.access == "rw" and entry.name != "control"]
        entry = held[int(random.integers(len(held)))]
        old = device.read(entry.offset)
        if choice > 0.85:
            entry = next(entry for entry in entries if entry.name == "control")
            value = int(Control.START | Control.INTERRUPT_ENABLE)
        refused = _refuses(bench, entry.name, value & entry.mask)
        if not refused and not device.interrupt:
            bench.simulation.run(20)  # an interrupt that is on its way
            if not device.interrupt:
                raise SilentError(f"{entry.name} took {value:#x} while busy")
        if not refused and entry.name == "control":
            return
        if not refused:
            device.write(entry.offset, old)
        if device.read(entry.offset) != old and entry.name != "control":
            raise SilentError(f"{entry.name} changed though the write was refused")


def _refuses(bench: TortureBench, name: str, value: int) -> bool:
    try:
        bench.device.write(bench.registers.offset(name), value)
    except RegisterError:
        return True
    return False


def _must_refuse(bench: TortureBench, offset: int, value: int) -> None:
    try:
        bench.device.write(offset, value)
    except RegisterError:
        return
    raise SilentError(f"offset {offset:#x} took a write")


def _read_unmapped(bench: TortureBench, offset: int) -> None:
    value, response = bench.simulation.read(offset)
    if not response or value:
        raise SilentError(f"offset {offset:#x} reads {value:#x} with response {response}")


def illegal_start(bench: TortureBench, scene: Scene) -> Outcome:
    """A doorbell with rows outside 1..C or sequences outside 1..S is refused, by their registers if
    they have no such bits.
    """
    random, config, registers = bench.random, bench.config, bench.registers
    name, limit = [("rows", config.chunk_tokens), ("sequences", config.sequences)][
        int(random.integers(2))
    ]
    registers.write("program", bench.program_beats)
    registers.write("program_length", bench.image.manifest.commands)
    value = int(random.choice([0, limit + 1, int(random.integers(limit + 1, 1 << 32))]))
    if not _fits(bench, name, value):
        return Outcome("refused")
    registers.write(name, value)
    if not _refuses(bench, "control", Control.START | Control.INTERRUPT_ENABLE):
        raise SilentError(f"a doorbell with {name} = {value} was taken")
    bench.simulation.run(100)
    if bench.status() or bench.registers.read("error_code"):
        raise SilentError(f"status is {bench.status()!r} after a refused doorbell")
    registers.set_step(scene.step)
    return Outcome("refused")


def odd_table(bench: TortureBench, scene: Scene) -> Outcome:
    """Random numbers in the sequence table: an error or done, within the window; a cache may lie
    over weights.
    """
    random, registers = bench.random, bench.registers
    index = int(random.integers(len(scene.step.sequences)))
    name = SEQUENCE_FIELDS[int(random.integers(len(SEQUENCE_FIELDS)))][0]
    value = int(random.integers(0, int(random.choice([1, 600, 1 << 16, 1 << 32]))))
    if not _fits(bench, f"sequence{index}_{name}", value):
        return Outcome("refused")
    registers.write(f"sequence{index}_{name}", value)
    try:
        ended = bench.ended(bench.start())
    except Hang as hang:
        raise Hang(f"sequence{index}_{name} = {value}: {hang}") from None
    registers.set_step(scene.step)
    if ended.code in (ErrorCode.READ_RESPONSE, ErrorCode.WRITE_RESPONSE):
        raise SilentError(f"sequence{index}_{name} = {value} was reported as {ended.code.name}")
    return Outcome("obeyed" if ended.done else "reported", ended.code, "free")


def _fits(bench: TortureBench, name: str, value: int) -> bool:
    """Whether the register has the bits of `value`; if not, it refuses the value and stays as it
    was.
    """
    register = next(entry for entry in register_map(bench.config) if entry.name == name)
    if not value & ~register.mask:
        return True
    before = bench.registers.read(name)
    _must_refuse(bench, register.offset, value)
    if bench.registers.read(name) != before:
        raise SilentError(f"register {name} changed from {before} by a refused write")
    return False


def odd_program(bench: TortureBench, scene: Scene) -> Outcome:
    """A program that begins elsewhere or ends before its END."""
    random, registers = bench.random, bench.registers
    commands = bench.image.manifest.commands
    beats, length = bench.program_beats, commands
    if random.random() < 0.5:
        length = int(random.integers(0, commands))
    else:
        while (beats - bench.program_beats) % (COMMAND_BYTES // BEAT_BYTES) == 0:
            beats = int(random.integers(0, bench.device.memory.size // BEAT_BYTES))
    registers.write("program", beats)
    registers.write("program_length", length)
    ended = bench.ended(bench.ring())
    what = f"a program of {length} commands at beat {beats}"
    if length == commands:
        if ended.code == ErrorCode.WINDOW:
            return expect(ended, ErrorCode.WINDOW, [0], what)
        return expect(ended, ErrorCode.COMMAND_CHECK, [0], what)
    return replace(expect_right(ended, what), verdict="obeyed", memory="partial")


EVENTS: dict[str, Callable[[TortureBench, Scene], Outcome]] = {
    "soft_reset": soft_reset,
    "hard_reset": hard_reset,
    "silence": silence,
    "busy_writes": busy_writes,
    "illegal_start": illegal_start,
    "odd_table": odd_table,
    "odd_program": odd_program,
}
"""As MEMORY_FAULTS."""
