# SPDX-License-Identifier: Apache-2.0
"""A small model on the simulated chip and on the golden model, compared after each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles

from cocotb_bench.design import design_config
from cocotb_bench.device import CocotbDevice, drive
from cocotb_bench.rules import AxiRules
from cocotb_bench.small_models import MODELS
from cocotb_bench.unknowns import FOUR_STATES, UnknownWatch, axi_channels
from firmware.device import DeviceError
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image, cache_rows
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import COMMAND_BYTES, Outputs
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import Control, ErrorCode

__all__ = ["StepBench"]

_WATCHDOG = 20_000
"""Cycles; more than any pause of a bench."""
_BOTH = Outputs.ARGMAX | Outputs.LOGITS


class StepBench:
    """One of `MODELS` on a design, out of reset.

    device: the chip; session: the driver's, on it; golden: the same session on the golden machine;
    model: the bit-true model, which knows neither commands nor memory; caches: its keys and values;
    rules: of AXI, of all ports.
    """

    def __init__(
        self, device: CocotbDevice, model: QuantisedModel, image: Image, sequences: int, seed: int
    ) -> None:
        self.device, self.image, self.sequences = device, image, sequences
        self.random = np.random.default_rng(seed)
        golden = GoldenDevice(device.config, device.memory.size, memory_base=device.memory_base)
        # What is read before it was written shows: everything that nobody has written is noise.
        golden.memory[:] = self.random.integers(0, 256, golden.memory.size, np.uint8)
        self.golden = Session(golden, image, sequences=sequences)
        self.model = BitTrueModel(model, device.config, image.manifest.dataflow)
        self.caches = [self.model.new_cache() for _ in range(sequences)]
        self.rules = AxiRules(device)
        self.session: Session

    @classmethod
    async def start(cls, dut: Any, name: str, *, sequences: int = 1, seed: int = 0) -> Self:
        """The model `name` on `dut`, with room for so many sequences."""
        config = design_config()
        model, image = next(m for m in MODELS if m.name == name).build(config, seed)
        size = Session.window_bytes(image, sequences)
        if FOUR_STATES:
            watch = UnknownWatch(dut, axi_channels(dut, config.ports))
            cocotb.start_soon(watch.run())
        device = await CocotbDevice.start(dut, config, size)
        bench = cls(device, model, image, sequences, seed)
        cocotb.start_soon(bench.rules.run())
        await bench.open()
        return bench

    async def open(self) -> None:
        """A driver's session on the chip, as after a reset, that goes on where golden is."""
        memory, positions = self.golden.device.memory.copy(), list(self.golden.positions)
        self.session = await drive(Session, self.device, self.image, sequences=self.sequences)
        self.session.positions[:] = positions
        self.device.memory[:] = memory
        await drive(self.session.registers.set_watchdog, _WATCHDOG)

    def tokens(self, count: int) -> list[int]:
        """Random tokens."""
        vocabulary = self.image.manifest.model.vocabulary
        return self.random.integers(0, vocabulary, count).tolist()

    def asked(self) -> Outputs:
        """All that a head can be asked for."""
        hidden = self.image.manifest.model.outputs == "hidden"
        return Outputs.LOGITS if hidden else _BOTH

    async def step(self, new: Mapping[int, int], *, head_all: bool = True) -> None:
        """Run so many new tokens of each sequence, {sequence: count}, and compare: logits and
        caches with the bit-true model, every byte of the window with the golden machine.
        """
        tokens = {sequence: self.tokens(count) for sequence, count in new.items()}
        asked = {"outputs": self.asked(), "head_all": head_all}
        result = await drive(self.session.step, tokens, **asked)
        expected = self.golden.step(tokens, **asked)
        rows = [self.model.forward(t, self.caches[s]) for s, t in tokens.items()]
        if not head_all:
            rows = [logits[-1:] for logits in rows]
        logits = np.concatenate(rows)
        assert result.logits is not None and np.array_equal(result.logits, logits), "logits"
        if Outputs.ARGMAX in asked["outputs"]:
            assert np.array_equal(result.tokens, logits.argmax(axis=1)), "arg-max"
        for sequence in tokens:
            self._check_cache(sequence)
        self.check_memory()
        traffic = {name: n for name, n in expected.counters.items() if name.startswith("bytes_")}
        assert traffic == {name: result.counters[name] for name in traffic}, "traffic"

    def _check_cache(self, sequence: int) -> None:
        """Keys and values of all layers and heads, against those of the bit-true model."""
        seen, cache = self.device.memory, self.caches[sequence]
        rows = cache_rows(seen, self.image.manifest, sequence)[..., : cache.length, :]
        joined = np.moveaxis(rows, 3, 4)
        joined = joined.reshape(*joined.shape[:4], -1)[..., : cache.keys.shape[-1]]
        for part, kept in enumerate((cache.keys, cache.values)):
            assert np.array_equal(joined[:, part], kept[:, :, : cache.length]), f"cache {sequence}"

    def check_memory(self) -> None:
        """Every byte of the window is golden's, and nothing else was accessed."""
        wrong = np.flatnonzero(self.device.memory != self.golden.device.memory)
        assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}"
        assert not self.device.bus.outside, "accesses beyond the window"
        self.rules.check()

    async def fails(self, code: ErrorCode, label: str = "") -> DeviceError:
        """The error that a step of one token ends with, at this command."""
        try:
            await drive(self.session.step, {0: self.tokens(1)}, outputs=self.asked())
        except DeviceError as error:
            assert error.code == code and label in ("", error.label), str(error)
            return error
        raise AssertionError(f"no error, where {code.name} is expected")

    async def begin(self, count: int, cycles: int) -> None:
        """Start a step of so many tokens, and leave it alone after some cycles."""
        await drive(self.session.prepare, {0: self.tokens(count)}, outputs=self.asked())
        registers, manifest = self.session.registers, self.image.manifest
        await drive(registers.write, "program", manifest.regions["program"].offset)
        await drive(registers.write, "program_length", manifest.commands)
        await drive(registers.write, "control", Control.START | Control.INTERRUPT_ENABLE)
        await ClockCycles(self.device.dut.clk, cycles)

    async def recover(self) -> None:
        """Everything as before the step that did not end well; the next one is right."""
        bus = self.device.bus
        bus.refused.clear()
        bus.outside.clear()
        await self.open()
        await self.step({0: 1})

    def field(self, label: str, name: str) -> int:
        """A field of a command of the program."""
        return self.image.command(self.image.manifest.labels.index(label)).values[name]

    def command(self, label: str) -> np.ndarray:
        """The bytes of a command, in the memory of the chip alone."""
        start = self.image.manifest.regions["program"].offset * BEAT_BYTES
        start += self.image.manifest.labels.index(label) * COMMAND_BYTES
        return self.device.memory[start : start + COMMAND_BYTES]

    def patch(self, label: str, **values: int) -> None:
        """Other values for fields of a command, with a right CRC-32."""
        command = self.image.command(self.image.manifest.labels.index(label))
        command.values.update(values)
        self.command(label)[:] = np.frombuffer(command.encode(), np.uint8)

    def address(self, beats: int) -> int:
        """Byte address on the bus of a beat of the window."""
        return self.device.memory_base + beats * BEAT_BYTES

    async def rewind(self, sequence: int) -> None:
        """Forget what a sequence has cached."""
        await drive(self.session.rewind, sequence)
        self.golden.rewind(sequence)
        self.caches[sequence] = self.model.new_cache()
