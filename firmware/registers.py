# SPDX-License-Identifier: Apache-2.0
"""The register map by name, and the identity, doorbell, error and counters that are built of
several registers.
"""

from __future__ import annotations

from difflib import get_close_matches

from firmware.device import (
    STUCK,
    Device,
    DeviceError,
    DeviceTimeout,
    RegisterArgumentError,
    RegisterError,
    register_value,
)
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.parameters import config_of_registers, register_values
from meadow.spec.registers import (
    COUNTERS,
    MAGIC,
    SEQUENCE_FIELDS,
    VERSION,
    Control,
    ErrorCode,
    Refusal,
    Register,
    Status,
    register_map,
)
from meadow.spec.step import Step

__all__ = ["ContractMismatch", "Registers"]

_RESET_READS = 100_000


class ContractMismatch(ValueError):
    """Device and image were made for different contracts; the message names both."""


class Registers:
    """Named access to the registers of `device`, laid out for `config`."""

    def __init__(self, device: Device, config: AcceleratorConfig) -> None:
        self.device = device
        self.config = config
        self._registers = {entry.name: entry for entry in register_map(config)}

    def offset(self, name: str) -> int:
        """Byte offset of a register; RegisterError if there is none of that name."""
        return self._named(name).offset

    def read(self, name: str) -> int:
        """Unsigned 32-bit value of the register `name`; RegisterError if there is none."""
        return self.device.read(self.offset(name))

    def write(self, name: str, value: int) -> None:
        """Write the register `name`. RegisterError says so if the device refused because it is
        busy, or the value has bits that the register does not have, or if there is no such
        register."""
        register = self._named(name)
        try:
            self.device.write(register.offset, value)
        except RegisterError as error:
            if error.offset != register.offset:
                raise  # an access before this one
            if error.rule == Refusal.BUSY:
                stuck = Status.STUCK in Status(self.read("status"))
                why = f"it is stuck: {STUCK}" if stuck else "it is busy"
            elif error.rule == Refusal.BITS:
                why = f"that has the bits {register.mask:#x} only"
            elif error.rule == Refusal.NOT_WRITABLE:
                why = "that is read-only"
            elif error.rule == Refusal.PARTIAL:
                why = "only a part of it was written; the bus must write 32 bits at once"
            else:
                raise
            raise RegisterError(
                f"the device refused {value:#x} for register {name}: {why}",
                offset=error.offset,
                rule=error.rule,
            ) from error

    def _named(self, name: str) -> Register:
        if name in self._registers:
            return self._registers[name]
        near = get_close_matches(name, self._registers) if isinstance(name, str) else []
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise RegisterArgumentError(
            f"there is no register {name!r:.60}: {meant}docs/register-map.md lists them", offset=-1
        )

    def forget_refusals(self) -> None:
        """Clear what is left of a refused access of whoever had the device before."""
        self.write("refused", sum(Refusal))

    def read_wide(self, name: str) -> int:
        """64-bit value of the pair `name`_low, `name`_high, consistent also while it counts."""
        high = self.read(f"{name}_high")
        while True:
            low, again = self.read(f"{name}_low"), self.read(f"{name}_high")
            if again == high:
                return high << 32 | low
            high = again

    def write_wide(self, name: str, value: int) -> None:
        """Write the pair `name`_low, `name`_high; RegisterError unless `value` is an integer of 64
        bits.
        """
        value = register_value(value, offset=self.offset(f"{name}_low"), bits=64)
        self.write(f"{name}_low", value & 0xFFFFFFFF)
        self.write(f"{name}_high", value >> 32)

    def contract(self) -> str:
        """Contract hash of the device, 64 hexadecimal digits."""
        words = (self.read(f"contract_hash{index}") for index in range(8))
        return b"".join(word.to_bytes(4, "little") for word in words).hex()

    def check_identity(self) -> None:
        """ContractMismatch unless magic, version and contract hash are those of `config`."""
        magic = self.read("magic")
        if magic != MAGIC:
            raise ContractMismatch(f"no MEADOW device: magic is 0x{magic:08X}, not 0x{MAGIC:08X}")
        version = self.read("version")
        if version != VERSION:
            raise ContractMismatch(
                f"the device has register map version {version}, this driver knows {VERSION}"
            )
        expected, found = contract_hash(self.config), self.contract()
        if found != expected:
            raise ContractMismatch(
                f"the device has contract {found}, the image needs {expected}{self._parts()}: "
                "generate the device and compile the image from the same version and configuration"
            )

    def configuration(self) -> AcceleratorConfig:
        """The configuration that the device reads back."""
        names = register_values(self.config)
        return config_of_registers({name: self.read(f"config_{name}") for name in names})

    def _parts(self) -> str:
        """What the device does not have of the parts that the image was compiled for, in words."""
        try:
            found = self.configuration()
        except ValueError:
            return ""
        missing = [f"decoder of codec {name}" for name in self.config.codecs]
        has = [f"decoder of codec {name}" for name in found.codecs]
        missing += ["softmax unit for dataflow gemm"] * (self.config.baseline > found.baseline)
        named = " and no ".join(part for part in missing if part not in has)
        return f", for which the device has no {named}" if named else ""

    def set_window(self) -> None:
        """Tell the device its DMA window: all of `device.memory`."""
        self.write_wide("window_base", self.device.memory_base)
        self.write("window_beats", self.device.memory.size // BEAT_BYTES)

    def set_step(self, step: Step) -> None:
        """Write rows, sequence table and outputs of a step; ValueError if the configuration cannot
        hold it.

        Its `outputs` name the variant too, see `Step.outputs_register`.
        """
        step.check(self.config)
        self.write("rows", step.rows)
        self.write("sequences", len(step.sequences))
        self.write("outputs", int(step.outputs))
        self.write("head_all", int(step.head_all))
        for index, entry in enumerate(step.sequences):
            for name, _, _ in SEQUENCE_FIELDS:
                self.write(f"sequence{index}_{name}", getattr(entry, name))

    def set_watchdog(self, cycles: int) -> None:
        """End programs with WATCHDOG after so many cycles in which nothing moved, 0 for never.

        Until this is called it is meadow.spec.registers.WATCHDOG_CYCLES.
        """
        self.write("watchdog", cycles)

    def run_program(
        self, program_offset_beats: int, commands: int, timeout_s: float | None = None
    ) -> None:
        """Run `commands` commands from an offset and wait for the end. DeviceError, DeviceTimeout.

        When it returns or raises a DeviceError that is not `stuck`, the device is ready for the
        next run.
        RegisterError if the device refuses to start: it is busy, or has no room for the step in its
            registers.
        """
        self.write("program", program_offset_beats)
        self.write("program_length", commands)
        self._start()
        self.device.wait(timeout_s)
        status = Status(self.read("status"))
        error = self.error(stuck=Status.STUCK in status) if Status.ERROR in status else None
        self.write("control", Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE)
        if error is not None:
            raise error

    def _start(self) -> None:
        try:
            self.write("control", Control.START | Control.INTERRUPT_ENABLE)
        except RegisterError as error:
            if error.rule != Refusal.STEP:
                raise
            rows, sequences = self.read("rows"), self.read("sequences")
            config = self.config
            raise RegisterError(
                f"the device refused to start: it takes 1..{config.chunk_tokens} rows of "
                f"1..{config.sequences} "
                f"sequences, not {rows} of {sequences}",
                offset=error.offset,
                rule=error.rule,
            ) from error

    def error(self, *, stuck: bool = False) -> DeviceError:
        """The first error, from the error registers."""
        return DeviceError(
            code=ErrorCode(self.read("error_code")),
            command=self.read("error_command"),
            address=self.read_wide("error_address"),
            port=self.read("error_port"),
            stuck=stuck,
        )

    def reset(self) -> None:
        """Soft reset of every unit but the register file; returns when the device is ready for the
        next run.

        DeviceTimeout if it does not become ready: bursts under way are finished first, as AXI
            demands.
        """
        self.write("control", Control.RESET | Control.ACKNOWLEDGE)
        status = Status.BUSY
        for _ in range(_RESET_READS):
            status = Status(self.read("status"))
            if Status.BUSY not in status:
                return
        why = STUCK if Status.STUCK in status else "it still finishes bursts or does not react"
        raise DeviceTimeout(f"busy {_RESET_READS} register reads after a soft reset: {why}")

    def counters(self) -> dict[str, int]:
        """The counters of the last run by name."""
        return {name: self.read_wide(name) for name, _ in COUNTERS}
