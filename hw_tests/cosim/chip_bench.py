# SPDX-License-Identifier: Apache-2.0
"""The whole chip with a small model, faults to plant in it, and a device that watches how programs
end.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from cosim.bursts import outside
from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import DeviceError
from firmware.session import Session
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.machine.machine import Machine
from meadow.golden.machine.state import MachineError
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import CHECK_BYTES, COMMAND_BYTES, Outputs
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig, named_config
from meadow.spec.registers import ErrorCode, Status

__all__ = ["TOKENS", "WATCHDOG", "Bench", "WatchedDevice", "bench"]

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]
WATCHDOG = 3000
"""Cycles; far more than anything here needs for a beat."""
_STATUS = 0x104
_OF_THE_BUS = (ErrorCode.READ_RESPONSE, ErrorCode.WRITE_RESPONSE, ErrorCode.WATCHDOG)
_COMMON = ("wait", "condition", "flags")
_OUTPUTS = Outputs.LOGITS | Outputs.ARGMAX


class WatchedDevice(CosimDevice):
    """At its end a program has left the bus, and BUSY is 0, unless STUCK says otherwise.

    before: called, and forgotten, when a program has been started. ended: status at the end of the
        last program.
    """

    before: Callable[[], None] | None = None
    ended = Status(0)

    def wait(self, timeout_s: float | None = None) -> None:
        """See Device."""
        before, self.before = self.before, None
        if before is not None:
            before()
        super().wait(timeout_s)
        quiet = self.simulation.quiet
        self.ended = Status(self.read(_STATUS))
        stuck = Status.STUCK in self.ended
        assert (Status.BUSY in self.ended) == stuck and (quiet or stuck), self.ended
        assert (Status.DONE in self.ended) != (Status.ERROR in self.ended), self.ended
        assert Status.INTERRUPT in self.ended


class Bench:
    """A session with the model on a chip; `step` is what golden is asked for too."""

    def __init__(self, device: WatchedDevice, image: Image, expected: np.ndarray) -> None:
        self.device, self.image, self.expected = device, image, expected
        self.session = Session(device, image)
        self.session.registers.set_watchdog(WATCHDOG)

    def step(self) -> np.ndarray:
        """Logits of all tokens of a prompt from position 0 on."""
        result = self.session.step({0: TOKENS}, outputs=_OUTPUTS, head_all=True)
        assert result.logits is not None
        return result.logits

    def fails(self, code: ErrorCode, label: str, *, stuck: bool = False) -> DeviceError:
        """The error that a step ends with; it is that of this command, and nothing of the step is
        published.

        Results that the program has stored before the command are in memory, but the host is told
        of none.
        """
        stores = {"logits": "head.0_store", "argmax": "argmax_store"}
        places = [
            self.region(name)
            for name, store in stores.items()
            if self.index(label) <= self.index(store)
        ]
        before = [place.copy() for place in places]
        with pytest.raises(DeviceError) as caught:
            self.step()
        error = caught.value
        found = (error.code, error.label, error.command, error.stuck)
        assert found == (code, label, self.index(label), stuck), str(error)
        assert self.session.positions == [0] and Status.DONE not in self.device.ended
        assert all(np.array_equal(*pair) for pair in zip(places, before, strict=True))
        self.check_bursts()
        if code not in _OF_THE_BUS:
            self._check_golden(error)
        return error

    def _check_golden(self, error: DeviceError) -> None:
        """The architectural machine ends the program with the same error."""
        machine = Machine(self.session.config, self.device.memory.copy())
        step = self.session.prepare({0: TOKENS}, outputs=_OUTPUTS, head_all=True)
        manifest = self.image.manifest
        with pytest.raises(MachineError) as caught:
            machine.run_program(manifest.regions["program"].offset, manifest.commands, step)
        assert (caught.value.code, caught.value.command) == (error.code, error.command)

    def check_bursts(self) -> None:
        """Every burst since the last check lay in the window."""
        device = self.device
        bursts = device.simulation.take_bursts()
        assert not len(outside(bursts, device.memory_base, device.memory.size))

    def check_recovery(self) -> None:
        """With the image as it was, the next step equals golden."""
        self.device.memory[: self.image.dram.size] = self.image.dram
        self.device.simulation.configure(error_address=None)
        assert self.session.positions == [0]
        assert np.array_equal(self.step(), self.expected)
        assert self.device.ended & (Status.DONE | Status.ERROR) == Status.DONE
        self.session.rewind()

    def index(self, label: str) -> int:
        """Index of a command."""
        return self.image.manifest.labels.index(label)

    def field(self, label: str, name: str) -> int:
        """A field of a command of the image."""
        return self.image.command(self.index(label)).values[name]

    def command_bytes(self, label: str) -> np.ndarray:
        """View of a command in the window."""
        start = self.image.manifest.regions["program"].offset * BEAT_BYTES
        start += self.index(label) * COMMAND_BYTES
        return self.device.memory[start : start + COMMAND_BYTES]

    def change(self, label: str, **values: int) -> None:
        """Other fields for a command in the window, with a right CRC-32."""
        command = self.image.command(self.index(label))
        common = {name: value for name, value in values.items() if name in _COMMON}
        if min(common.values(), default=0) < 0:
            raise ValueError("common fields have no sign")
        own = {name: value for name, value in values.items() if name not in _COMMON}
        changed = replace(command, values={**command.values, **own}, **common)
        self.command_bytes(label)[:] = np.frombuffer(changed.encode(), np.uint8)

    def seal(self, label: str) -> None:
        """A right CRC-32 for whatever the command in the window is."""
        command = self.command_bytes(label)
        check = zlib.crc32(command[:-CHECK_BYTES].tobytes()).to_bytes(CHECK_BYTES, "little")
        command[-CHECK_BYTES:] = np.frombuffer(check, np.uint8)

    def region(self, name: str) -> np.ndarray:
        """View of a region of the window."""
        place = self.image.manifest.regions[name]
        end = place.offset + place.beats
        return self.device.memory[place.offset * BEAT_BYTES : end * BEAT_BYTES]

    def address(self, beats: int) -> int:
        """Byte address on the bus of a beat of the window."""
        return self.device.memory_base + beats * BEAT_BYTES


@cache
def _model() -> QuantisedModel:
    sizes = dict(layers=2, width=64, heads=2, head_dim=32, hidden=96, vocabulary=60)
    return synthetic_model(opt_description(**sizes, max_positions=64), seed=salted(4))


@cache
def _compiled(config: AcceleratorConfig, name: str) -> tuple[Image, np.ndarray]:
    image = compile_image(_model(), config, config_name=name, codec="raw", tokenizer_json="{}")
    return image, BitTrueModel(_model(), config).forward(TOKENS)


@contextmanager
def bench(config_name: str, *, verilog: str | None = None, **settings: object) -> Iterator[Bench]:
    """A Bench; `settings` are fields of DramSettings, `verilog` another text of the chip."""
    config = named_config(config_name)
    image, expected = _compiled(config, config_name)
    with WatchedDevice(
        config,
        Session.window_bytes(image),
        settings=DramSettings(**{"seed": salted(0), **settings}),  # pyright: ignore[reportArgumentType]
        timeout_cycles=2_000_000,
        silence_cycles=200_000,
        guard_bytes=1 << 16,
        verilog=verilog,
    ) as device:
        for seed, guard in enumerate(device.guards):
            guard[:] = np.random.default_rng(salted(seed)).integers(0, 256, guard.size)
        before = [guard.copy() for guard in device.guards]
        device.simulation.record_bursts()
        yield Bench(device, image, expected)
        assert all(np.array_equal(*pair) for pair in zip(device.guards, before, strict=True))
