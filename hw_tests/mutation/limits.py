# SPDX-License-Identifier: Apache-2.0
"""Limits that the chip guards itself: the activation memory, and the time without progress."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cosim.native import CHANNELS
from firmware.device import DeviceError
from hw_tests.mutation.chip import Chip, Killed, Trial
from hw_tests.mutation.fault_bench import FaultBench
from hw_tests.mutation.step_cases import BOTH
from meadow.spec.commands import Command, Opcode, RowSet, TrafficClass, Unit
from meadow.spec.registers import Control, ErrorCode, Status

__all__ = ["limit_trials"]

_WATCHDOG = 700
_SHORT, _LONG = 250, 700
"""Cycles without progress that are watched for, and that there are."""


def _run_activations(bench: FaultBench, chip: Chip) -> None:
    """LOAD and STORE at the end of the activation memory and beyond it."""
    session = bench.open(chip)
    session.prepare({0: bench.tokens}, outputs=BOTH)
    config = bench.image.manifest.config
    words, beats = config.activation_words, config.word_beats
    common = {"row_set": RowSet.FIXED, "traffic": TrafficClass.ACTIVATIONS}
    places = [(words - 1, 1, 1), (words - 3, 3, 1), (words - 5, 2, 2), (words - 40, 13, 3)]
    far = [(words - 1, 2, 1), (words, 1, 1), (words - 3, 2, 2), (words - 40, 14, 3)]
    far += [(words + (1 << bit), 1, 1) for bit in range(words.bit_length() - 1, 20)]
    start = bench.image.manifest.regions["dump"].offset
    for good, chosen in ((True, places), (False, far)):
        for first, stride, rows in chosen:
            first = min(first, (1 << 20) - 1)
            load = {"destination": first, "destination_stride": stride, "row_beats": beats * stride}
            store = {"source": first, "source_stride": stride, "segment_beats": beats * stride}
            for opcode, values in (
                (Opcode.LOAD, load),
                (Opcode.STORE, {**store, "segments": 1, "segment_stride": 1}),
            ):
                command = Command(opcode, {**values, **common, "rows": rows, "offset": start})
                name = f"{opcode.name} of {rows} rows of {stride} words at {first:#x}"
                with chip.timed(name):
                    try:
                        session.run_commands([Command(Opcode.FENCE), command, Command(Opcode.END)])
                        error = None
                    except DeviceError as found:
                        error = (found.code.name, found.command)
                        codes = (ErrorCode.ACTIVATION, ErrorCode.ILLEGAL_COMMAND)
                        if found.code not in codes:
                            raise Killed(f"{name}: {found}") from found
                chip.require(f"{name} is refused", error is not None, not good)
                chip.same(name, error)
    # The array's reads and results; later commands are handed over meanwhile.
    index = bench.first(Opcode.MATMUL)
    matmul = bench.image.command(index)
    others = [Command(Opcode.FENCE, wait=Unit(0))] * 3
    load = {"row_beats": beats, "offset": start, "rows": 1, **common}
    others.append(Command(Opcode.LOAD, load, wait=Unit(0)))
    for field in ("source", "destination"):
        far_one = replace(matmul, values={**matmul.values, field: words - 1})
        name = f"MATMUL with {field} at the end"
        error = None
        with chip.timed(name):
            try:
                session.run_commands([Command(Opcode.FENCE), far_one, *others, Command(Opcode.END)])
            except DeviceError as found:
                error = (found.code.name, found.command)
        chip.require(name, error, (ErrorCode.ACTIVATION.name, 1))
    bench.good_step(chip, session, "the step after words beyond the activation memory")


def _run_silence(bench: FaultBench, first_cycles: int, chip: Chip) -> None:
    """A channel of the memory falls silent in the middle of a step; later it answers again."""
    session = bench.open(chip)
    registers, simulation = session.registers, chip.device.simulation
    for number, channel in enumerate(CHANNELS):
        registers.set_watchdog(_WATCHDOG + number)  # even and odd
        session.device.memory[:] = bench.before
        session.rewind()
        session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
        name = f"silent {channel} from cycle {first_cycles} on"
        registers.write("program", bench.image.manifest.regions["program"].offset)
        registers.write("program_length", bench.image.manifest.commands)
        with chip.timed(name):
            registers.write("control", Control.START | Control.INTERRUPT_ENABLE)
            simulation.run(first_cycles)
            simulation.configure(stalls=tuple(256 * (one == channel) for one in CHANNELS))
            session.device.wait()
        error = registers.error()
        chip.require(f"{name}: error", error.code.name, ErrorCode.WATCHDOG.name)
        chip.same(f"{name}: command", error.command)
        chip.same(f"{name}: status", registers.read("status"))
        registers.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
        simulation.configure(stalls=bench.settings.stalls)
        simulation.run(1500)
        chip.require(f"{name}: settled", Status(registers.read("status")), Status(0))
        bench.good_step(chip, session, f"the step after a {name}")


def _run_long_watchdogs(bench: FaultBench, chip: Chip) -> None:
    """A silence that is longer than what a limit would be without one of its upper bits."""
    session = bench.open(chip)
    registers, simulation = session.registers, chip.device.simulation
    program = bench.image.manifest.regions["program"].offset
    for bit in range(_LONG.bit_length(), 32):
        session.device.memory[:] = bench.before
        session.rewind()
        session.prepare({0: bench.tokens}, outputs=BOTH, head_all=True)
        registers.set_watchdog((1 << bit) + _SHORT)
        name = f"watchdog of 2^{bit} cycles"
        with chip.timed(name):
            registers.write("program", program)
            registers.write("program_length", bench.image.manifest.commands)
            registers.write("control", Control.START | Control.INTERRUPT_ENABLE)
            simulation.run(100)
            simulation.configure(stalls=256)
            simulation.run(_LONG)
            simulation.configure(stalls=bench.settings.stalls)
            session.device.wait()
        chip.require(f"{name}: status", Status(registers.read("status")) & Status.ERROR, Status(0))
        registers.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
        chip.require_memory(name, session.device.memory, bench.after)


def limit_trials(bench: FaultBench) -> list[Trial]:
    """Ends of the activation memory; watchdog."""
    return [
        Trial("activation memory", partial(_run_activations, bench)),
        Trial("long watchdogs", partial(_run_long_watchdogs, bench)),
        *(
            Trial(f"silent memory {cycles}", partial(_run_silence, bench, cycles))
            for cycles in (150, 900)
        ),
    ]
