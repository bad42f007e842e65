# SPDX-License-Identifier: Apache-2.0
"""A small model with a good step, to which something is done before, meanwhile or in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.mutation.chip import Chip, Killed
from hw_tests.mutation.step_cases import BOTH, Case, Take
from hw_tests.mutation.steps import check_step, compiled, noise
from hw_tests.seeds import salted
from meadow.model.image import Image
from meadow.spec.commands import COMMAND_BYTES, Opcode
from meadow.spec.config import BEAT_BYTES

__all__ = ["FaultBench", "fails", "fault_bench", "require_unpublished", "run_program"]

_COUNT = 4
_TAKE = Take(tokens={0: _COUNT}, outputs=BOTH, head_all=True)


@dataclass(frozen=True)
class FaultBench:
    """An image with a good step: the window before and after it."""

    image: Image
    before: np.ndarray
    after: np.ndarray
    tokens: list[int]
    settings: DramSettings
    base: int = 0x1000_0000

    @classmethod
    def of(cls, case: Case, config_name: str) -> FaultBench:
        image = compiled(case, config_name)
        memory = noise(Session.window_bytes(image))
        memory[: image.dram.size] = image.dram
        device = GoldenDevice(image.manifest.config, memory.size)
        device.memory[:] = memory
        tokens = [int(t) for t in np.arange(3, 3 + _COUNT)]
        Session(device, image).step({0: tokens}, outputs=BOTH, head_all=True)
        return cls(image, memory, device.memory.copy(), tokens, case.settings)

    def open(self, chip: Chip) -> Session:
        chip.open(self.before.copy(), settings=self.settings, base=self.base)
        return chip.session(self.image)

    def good_step(self, chip: Chip, session: Session, name: str) -> None:
        """The step with everything mended, compared with golden."""
        memory = session.device.memory
        memory[:] = self.before
        session.rewind()
        check_step(chip, session, name, {0: self.tokens}, _TAKE)
        chip.require_memory(name, memory, self.after)

    def place(self, index: int) -> int:
        """First byte of a command of the program."""
        return self.image.manifest.regions["program"].offset * BEAT_BYTES + index * COMMAND_BYTES

    def first(self, opcode: Opcode) -> int:
        """Index of the first command of an opcode."""
        commands = range(self.image.manifest.commands)
        return next(i for i in commands if self.image.command(i).opcode == opcode)


def fails(
    chip: Chip, name: str, codes: tuple[str, ...], run: Callable[[], object], port: int = 0
) -> DeviceError:
    """The error of `run`, which must have one of the codes and be the one of the design."""
    try:
        with chip.timed(name):
            try:
                run()
            except DeviceError as error:
                found = error
            else:
                raise Killed(f"{name}: no error")
    except DeviceError as error:
        raise Killed(f"{name}: {error}") from error
    if found.code.name not in codes:
        raise Killed(f"{name}: {found}")
    chip.require(f"{name}: port", found.port, port)
    chip.same(f"{name}: error", (found.code.name, found.command, found.address))
    return found


def require_unpublished(chip: Chip, bench: FaultBench, memory: np.ndarray, what: str) -> None:
    """After an error every byte is as it was, or as the good step leaves it."""
    kept = (memory == bench.before) | (memory == bench.after)
    embeddings = bench.image.manifest.regions["embeddings"]
    kept[embeddings.offset * BEAT_BYTES :][: embeddings.beats * BEAT_BYTES] = True
    if not kept.all():
        raise Killed(f"{what}: byte {int(np.flatnonzero(~kept)[0]):#x} is neither old nor right")


def run_program(bench: FaultBench, session: Session, commands: Sequence[bytes]) -> None:
    """Run encoded commands, from where activations are dumped otherwise. DeviceError."""
    region = bench.image.manifest.regions["dump"]
    data = b"".join(commands)
    if len(data) > region.beats * BEAT_BYTES:
        raise ValueError(f"there is room for {region.beats * BEAT_BYTES} bytes, not {len(data)}")
    start = region.offset * BEAT_BYTES
    session.device.memory[start : start + len(data)] = np.frombuffer(data, np.uint8)
    session.registers.run_program(region.offset, len(commands))


def fault_bench(config_name: str, codec: str) -> FaultBench:
    """A small model with weights of one codec; latency and stalls as its faults want them."""
    sizes = {
        **{"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "head_dim": 16, "hidden": 48},
        "vocabulary": 40,
    }
    stalled = DramSettings(latency_cycles=30, stalls=50, seed=salted(2))
    case = Case(
        name=f"faults {codec}",
        architecture="opt",
        sizes=sizes,
        codec=codec,
        takes=(_TAKE,),
        settings=DramSettings(latency_cycles=9) if codec == "rice" else stalled,
    )
    return FaultBench.of(case, config_name)
