# SPDX-License-Identifier: Apache-2.0
"""One random model on one simulated chip, and what every step of it must leave: results and memory,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from cosim.bursts import outside
from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.results import StepResult
from firmware.session import Session
from meadow.golden.sampling import greedy
from meadow.spec.commands import COMMAND_BYTES, Command, Outputs
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import Control, ErrorCode, Status
from workbench.bench.step import preset_cache
from workbench.campaigns.torture_model import draw_settings, draw_torture_model
from workbench.campaigns.torture_scene import (
    Ended,
    Hang,
    Plan,
    Scene,
    SilentError,
    TracingMachine,
    WrongResult,
)
from workbench.configurations.chosen import ChosenConfig

__all__ = ["WATCHDOG_CYCLES", "TortureBench"]

_GUARD_BYTES = 1 << 16
_MARK = 0xA5
"""What every byte holds, before a step, that the step stores."""

_TIMEOUT_CYCLES = 400_000
"""A step takes some thousand cycles, with a slow memory some ten thousand."""

WATCHDOG_CYCLES = 20_000


class TortureBench:
    """A random model of one layer, its image on a simulated chip, and golden beside it.

    random: everything is drawn from it; log: told what takes long.

    Members
    -------
    device, session, image; golden, caches: the bit-true model and its cache of every sequence;
    cycles: that the last good step took; doorbells: programs started so far; planted: the window at
        the last doorbell of `ring`.
    """

    def __init__(
        self, random: np.random.Generator, chosen: ChosenConfig, log: Callable[[str], None]
    ) -> None:
        self.random = random
        self.config = chosen.config
        drawn = draw_torture_model(random, chosen)
        self.description, self.image, self.golden = drawn.description, drawn.image, drawn.golden
        self.fixed, count = drawn.fixed, drawn.sequences
        self.device = CosimDevice(
            self.config,
            Session.window_bytes(self.image, count),
            settings=draw_settings(random),
            timeout_cycles=_TIMEOUT_CYCLES,
            silence_cycles=_TIMEOUT_CYCLES,
            guard_bytes=_GUARD_BYTES,
            log=log,
        )
        self.simulation = self.device.simulation
        for guard in self.device.guards:
            guard[:] = random.integers(0, 256, guard.size, np.uint8)
        self._guards = [guard.copy() for guard in self.device.guards]
        self.simulation.record_bursts()
        self.session = Session(self.device, self.image, sequences=count)
        self.registers = self.session.registers
        self.registers.set_watchdog(WATCHDOG_CYCLES)
        self.caches = [self.golden.new_cache() for _ in range(count)]
        for index, cache in enumerate(self.caches):
            room = self.image.manifest.context - 1 if self.description.causal else 0
            position = (
                self.fixed[0] if self.fixed else int(random.integers(self.first_position, room + 1))
            )
            preset_cache(random, cache, self.device.memory, self.image.manifest, index, position)
            self.session.positions[index] = position
        self.cycles = 0
        self.doorbells = 0
        self.planted = self.device.memory.copy()

    @property
    def first_position(self) -> int:
        """Position of a sequence's first token, behind the prefix."""
        return self.image.manifest.limits.start

    def set_memory(self, settings: DramSettings) -> None:
        """Another memory, between two programs."""
        self.simulation.configure(**asdict(settings))

    def draw_plan(self) -> Plan:
        """A step that fits; sequences without room are rewound to a random position first."""
        random, manifest = self.random, self.image.manifest
        causal = self.description.causal
        outputs = Outputs.LOGITS
        if self.description.outputs == "tokens":
            outputs = Outputs(int(random.integers(1, 4)))
        count = int(random.integers(1, len(self.caches) + 1))
        chosen = [int(s) for s in random.permutation(len(self.caches))[:count]]
        decode = bool(random.random() < 0.3)
        tokens, left = {}, manifest.chunk_tokens
        for index, sequence in enumerate(chosen):
            room = self.image.manifest.context - self.first_position
            limit = min(6, room, left - (count - 1 - index))
            size = 1 if decode else int(random.integers(1, limit + 1))
            if self.fixed is not None:
                size = self.fixed[1]
                self.rewind(sequence, self.fixed[0])
            elif not causal:
                self.rewind(sequence, 0)
            elif self.session.positions[sequence] + size > manifest.context:
                reach = min(self.session.positions[sequence], manifest.context - size)
                self.rewind(sequence, int(random.integers(self.first_position, reach + 1)))
            left -= size
            tokens[sequence] = self.draw_tokens(size)
        return Plan(tokens, outputs, bool(random.random() < 0.4))

    def draw_tokens(self, count: int) -> list[int]:
        """Random tokens."""
        return [int(t) for t in self.random.integers(0, self.description.vocabulary, count)]

    def rewind(self, sequence: int, position: int) -> None:
        """Forget what chip and golden have cached from `position` on."""
        self.session.rewind(sequence, position)
        self.caches[sequence].length = position

    def prepare(self, plan: Plan) -> Scene:
        """Registers and window ready for the doorbell, and what must come of it."""
        session, memory = self.session, self.device.memory
        step = session.prepare(plan.tokens, outputs=plan.outputs, head_all=plan.head_all)
        machine = TracingMachine(self.config, memory.copy())
        machine.run_program(self.program_beats, self.image.manifest.commands, step)
        for access in machine.accesses:
            if access.write:
                memory[access.start : access.end] = _MARK
        self.planted = memory.copy()
        return Scene(
            plan,
            step,
            memory.copy(),
            machine.dram,
            tuple(machine.accesses),
            tuple(machine.stored),
        )

    @property
    def program_beats(self) -> int:
        """Where the program is in the window."""
        return self.image.manifest.regions["program"].offset

    def command_place(self, index: int) -> slice:
        """Bytes of a command in the window."""
        start = self.program_beats * BEAT_BYTES + index * COMMAND_BYTES
        return slice(start, start + COMMAND_BYTES)

    def command(self, index: int) -> Command:
        """Command of the image."""
        return self.image.command(index)

    def start(self) -> int:
        """Ring the doorbell for the image's program; the cycle of it."""
        self.registers.write("program", self.program_beats)
        self.registers.write("program_length", self.image.manifest.commands)
        return self.ring()

    def ring(self) -> int:
        """Ring the doorbell; the cycle of it."""
        self.simulation.take_bursts()
        self.doorbells += 1
        self.planted = self.device.memory.copy()
        self.registers.write("control", Control.START | Control.INTERRUPT_ENABLE)
        return self.simulation.cycle

    def status(self) -> Status:
        """What the chip says of itself now."""
        return Status(self.registers.read("status"))

    def ended(self, began: int, limit: int = _TIMEOUT_CYCLES) -> Ended:
        """Wait for the interrupt at most `limit` cycles and acknowledge it; Hang if it does not
        come.
        """
        self.simulation.run(limit, until_interrupt=True)
        if not self.device.interrupt:
            raise Hang(f"no interrupt within {limit} cycles, {self._whereabouts()}")
        status = self.status()
        cycles = self.simulation.cycle - began
        error: DeviceError = self.registers.error()
        if (Status.DONE in status) == (Status.ERROR in status):
            raise SilentError(f"interrupt with {status!r}")
        if Status.BUSY in status and Status.STUCK not in status:
            raise Hang(f"interrupt while the chip is not ready, {status!r}")
        if Status.DONE in status and error.code != ErrorCode.NONE:
            raise SilentError(f"done with error {error.code.name}")
        self.registers.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
        if self.device.interrupt:
            raise SilentError("the interrupt stays after it was acknowledged")
        return Ended(status, error.code, error.command, error.address, error.port, cycles)

    def until_ready(self, limit: int) -> int:
        """Wait until BUSY is 0; cycles it took. Hang after `limit` cycles."""
        began = self.simulation.cycle
        while Status.BUSY in self.status():
            if self.simulation.cycle - began > limit:
                raise Hang(f"busy for {limit} cycles, {self._whereabouts()}")
            self.simulation.run(8)
        return self.simulation.cycle - began

    def _whereabouts(self) -> str:
        return f"{self.status()!r}, command {self.registers.read('command_index')}"

    def check_bounds(self, base: int | None = None, size: int | None = None) -> None:
        """SilentError if a burst left the window since the last doorbell, or a byte outside of it
        changed.
        """
        base = self.device.memory_base if base is None else base
        size = self.device.memory.size if size is None else size
        strays = outside(self.simulation.take_bursts(), base, size)
        if len(strays):
            raise SilentError(f"burst outside the window {base:#x}, {size:#x} bytes: {strays[0]}")
        for guard, expected in zip(self.device.guards, self._guards, strict=True):
            if not np.array_equal(guard, expected):
                raise SilentError("memory outside the window was written")

    def good_step(self, scene: Scene) -> None:
        """The prepared step through the driver, with marks again; results and the whole window must
        equal golden.
        """
        plan, memory = scene.plan, self.device.memory
        for access in scene.accesses:
            if access.write:
                memory[access.start : access.end] = _MARK
        self.simulation.take_bursts()
        self.doorbells += 1
        result = self.session.step(plan.tokens, outputs=plan.outputs, head_all=plan.head_all)
        self.cycles = result.counters["cycles"]
        self.check_bounds()
        self.compare(result, plan)
        self.compare_memory(scene)

    def prefill(self, sequence: int, tokens: list[int], chunk: int | None) -> None:
        """A prompt in chunks through the driver; its result must equal golden."""
        position, limits = self.session.positions[sequence], self.image.manifest.limits
        own = limits.own_tokens(tokens, position=position)
        if not own:
            return  # the prefix alone is no prompt
        outputs = Outputs.LOGITS
        if self.description.outputs == "tokens":
            outputs |= Outputs.ARGMAX
        self.doorbells += -(-len(own) // (chunk or len(own)))
        result = self.session.prefill(tokens, sequence=sequence, chunk=chunk, outputs=outputs)
        self.check_bounds()
        self.compare(result, Plan({sequence: list(own)}, outputs, False))

    def compare(self, result: StepResult, plan: Plan) -> None:
        """WrongResult unless a step's results are golden's, whose caches move on."""
        rows = []
        for sequence, new in plan.tokens.items():
            head = None if plan.head_all else [-1]
            rows.append(self.golden.forward(new, self.caches[sequence], head_rows=head))
        expected = np.concatenate(rows)
        if plan.outputs & Outputs.LOGITS:
            assert result.logits is not None
            if not np.array_equal(result.logits, expected):
                raise WrongResult("logits differ from golden")
        if plan.outputs & Outputs.ARGMAX:
            best = [greedy(row) for row in expected]
            values = expected[np.arange(len(best)), best]
            assert result.tokens is not None and result.values is not None
            if result.tokens.tolist() != best or not np.array_equal(result.values, values):
                raise WrongResult("arg-max differs from golden")
        if self.session.positions != [cache.length for cache in self.caches]:
            raise WrongResult("positions differ from golden")

    def compare_memory(self, scene: Scene) -> None:
        """WrongResult unless the window is as the golden machine leaves it."""
        wrong = np.flatnonzero(self.device.memory != scene.after)
        if len(wrong):
            raise WrongResult(
                f"{len(wrong)} bytes of the window differ from golden, first {wrong[0]:#x}"
            )

    def close(self) -> None:
        """End the simulation."""
        self.device.close()
