# SPDX-License-Identifier: Apache-2.0
"""The golden machine behind the register map: the driver's reference device, without time."""

from __future__ import annotations

import numpy as np

from firmware.device import Device
from meadow.golden.machine.machine import Machine, MachineError
from meadow.spec.commands import Outputs, TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.contract import reset_values
from meadow.spec.registers import (
    SEQUENCE_FIELDS,
    Control,
    ErrorCode,
    Refusal,
    Status,
    register_map,
)
from meadow.spec.step import Sequence, Step

__all__ = ["GoldenDevice"]

_PAGE_BYTES = 4096
_ERROR_REGISTERS = (
    "error_code",
    "error_command",
    "error_address_low",
    "error_address_high",
    "error_port",
)


class GoldenDevice(Device):
    """`config` as meadow.golden.machine.machine executes it, at once when the doorbell is rung.

    Counters: bytes_* from the machine's traffic; cycles and stalls stay 0. `memory_bytes` is
    rounded up to 4 KiB. Without time there is no watchdog, and error_address and error_port stay 0.
    """

    def __init__(
        self, config: AcceleratorConfig, memory_bytes: int, *, memory_base: int = 0x1000_0000
    ) -> None:
        size = -(-memory_bytes // _PAGE_BYTES) * _PAGE_BYTES
        self.config = config
        self._memory = np.zeros(size, np.uint8)
        self.memory_base = memory_base
        self.machine = Machine(config, self._memory)
        self._names = {entry.offset: entry for entry in register_map(config)}
        self._values = reset_values(config)
        self._is_open = True

    def _read(self, offset: int) -> int:
        if offset not in self._names:
            self._refuse(Refusal.NO_REGISTER, offset)
            return 0
        return self._values[self._names[offset].name]

    def _write(self, offset: int, value: int) -> None:
        entry = self._names.get(offset)
        if entry is None or entry.access == "ro":
            self._refuse(Refusal.NOT_WRITABLE, offset)
        elif value & ~entry.mask:
            self._refuse(Refusal.BITS, offset)
        elif entry.access == "w1c":
            self._values[entry.name] &= ~value
        elif entry.name != "control":
            self._values[entry.name] = value
        elif value & Control.START and not self._takes_step():
            self._refuse(Refusal.STEP, offset)
        else:
            self._control(Control(value))

    def _refuse(self, rule: Refusal, offset: int) -> None:
        """Keep the first refused access, which has no other effect."""
        if not self._values["refused"]:
            self._values |= {"refused": int(rule), "refused_offset": offset}

    def _wait(self, timeout_s: float | None) -> None:
        """A program has always ended."""

    def _interrupt(self) -> bool:
        return bool(self._values["status"] & Status.INTERRUPT)

    def _close(self) -> None:
        """There is nothing to release."""

    def _control(self, bits: Control) -> None:
        self._values["control"] = int(bits & Control.INTERRUPT_ENABLE)
        if Control.ACKNOWLEDGE in bits:
            self._values |= dict.fromkeys(("status", *_ERROR_REGISTERS), 0)
        if Control.START in bits:
            self._run()
            if Control.INTERRUPT_ENABLE in bits:
                self._values["status"] |= Status.INTERRUPT

    def _run(self) -> None:
        values, machine = self._values, self.machine
        machine.clear_traffic()
        values |= dict.fromkeys(_ERROR_REGISTERS, 0)
        # The machine's window is the memory itself, so the registers must name exactly that.
        window = (
            values["window_base_high"] << 32 | values["window_base_low"],
            values["window_beats"],
        )
        if window != (self.memory_base, self.memory.size // BEAT_BYTES):
            raise ValueError(f"the golden device needs its whole memory as window, not {window}")
        try:
            done = machine.run_program(values["program"], values["program_length"], self._step())
            values["command_index"] = done
            values["status"] = int(Status.DONE)
        except MachineError as error:
            values["status"] = int(Status.ERROR)
            values["error_code"] = int(error.code)
            values["error_command"] = values["command_index"] = error.command or 0
        except ValueError:
            values["status"] = int(Status.ERROR)
            values["error_code"] = int(ErrorCode.ILLEGAL_COMMAND)
        for traffic, size in machine.traffic.items():
            name = f"bytes_{TrafficClass(traffic).name.lower()}"
            values[f"{name}_low"], values[f"{name}_high"] = size & 0xFFFFFFFF, size >> 32

    def _takes_step(self) -> bool:
        rows, sequences = self._values["rows"], self._values["sequences"]
        return 1 <= rows <= self.config.chunk_tokens and 1 <= sequences <= self.config.sequences

    def _step(self) -> Step:
        values = self._values
        entries = (
            {name: values[f"sequence{index}_{name}"] for name, _, _ in SEQUENCE_FIELDS}
            for index in range(values["sequences"])
        )
        return Step(
            tuple(Sequence(**entry) for entry in entries),
            Outputs(values["outputs"] & 15),
            bool(values["head_all"]),
        )
