# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite register file: what the host reads and writes, `meadow.spec.registers`."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.contract import reset_values
from meadow.spec.registers import (
    SEQUENCE_FIELDS,
    STEP_FIELDS,
    WATCHDOG_CYCLES,
    Control,
    Register,
    register_map,
)
from rtl_gen.axi.refusals import Refusals
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.axi import LITE_ADDRESS_BITS, LiteSignature
from rtl_gen.interfaces.command import step_layout
from rtl_gen.interfaces.counters import INCREMENT_BITS, CountersSignature
from rtl_gen.interfaces.error import error_layout
from rtl_gen.interfaces.members import members

__all__ = ["LiteRegisters"]

_OKAY = 0


class LiteRegisters(wiring.Component):
    """The register map of `meadow.spec.registers`, counters included.

    Parameters
    ----------
    config: what the registers `config_*` say, sequences S, chunk_tokens C, width of addresses.

    Members
    -------
    bus: In(LiteSignature). AW and W may come in either order; one read and one write are handled at
        a time. In reset and in the cycle after it nothing is taken.
    step, program, program_length, window_beats, watchdog: Out, what the host wrote.
    window_base: Out, likewise, byte address, 4 KiB aligned: its low 12 bits are 0.
    start, soft_reset, acknowledge: Out, pulses of one cycle; start, done and error are ordered so
        that a pulse clears.
    interrupt: Out, level, enabled and (done or error), and either ready for the next doorbell or
        stuck.
    busy: In, a program runs. From the cycle of `start` on the register file takes the device as
        busy for one cycle by itself, so `busy` may follow `start` by one cycle.
    stuck: In, the memory leaves an ended program without answers.
    done_set: In, pulse; ignored while an error is held.
    i_error: In stream of error_layout without back-pressure; the first one is held.
    command_index: In(32).
    i_counters: In(CountersSignature), added every cycle.

    Errors: every access is answered OKAY. What `meadow.spec.registers.Refusal` names is refused: a
    read gives 0, a write changes nothing, and `Refusals` keeps the first for the host to read.
    Latency: `read_latency` cycles from the AR transfer to RVALID, `write_latency` from the later of
    AW and W to BVALID; increments reach a counter after `counter_latency` cycles. Counters are 64
    bits and wrap.
    """

    read_latency = 2
    write_latency = 2
    counter_latency = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "bus": In(LiteSignature()),
                "step": Out(step_layout(config)),
                "program": Out(32),
                "program_length": Out(32),
                "window_base": Out(config.address_bits),
                "window_beats": Out(32),
                "watchdog": Out(32, init=WATCHDOG_CYCLES),
                "start": Out(1),
                "soft_reset": Out(1),
                "acknowledge": Out(1),
                "interrupt": Out(1),
                "busy": In(1),
                "stuck": In(1),
                "done_set": In(1),
                "i_error": In(stream.Signature(error_layout(config), always_ready=True)),
                "command_index": In(32),
                "i_counters": In(CountersSignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        busy = Signal()
        enable = Signal()
        done = Signal()
        failed = Signal()
        error = Signal(error_layout(self.config))
        m.d.comb += [
            busy.eq(self.busy | self.start),
            self.interrupt.eq(enable & (done | failed) & (~busy | self.stuck)),
        ]
        status = Cat(busy, done, failed, self.interrupt, self.stuck)  # bits of Status
        counters = self._counters(m)
        held = self._held(m)
        state = {
            "status": status,
            "error_code": error.code,
            "error_command": error.command,
            "error_address_low": error.address[:32],
            "error_address_high": error.address[32:],
            "error_port": error.port,
            "command_index": self.command_index,
        }
        values = {**self._constants(), **counters, **state, **held, "control": enable << 2}
        m.submodules.refusals = self._refusals = refusals = Refusals(config=self.config)
        values |= {"refused": refusals.rules, "refused_offset": refusals.offset}
        registers = register_map(self.config)
        self._awake = Signal()  # not in reset, nor in the cycle after it
        m.d.sync += self._awake.eq(1)
        self._read_channel(m, registers, values)
        self._write_channel(m, registers, held, busy, enable)

        with m.If(self.done_set & ~failed & ~self.i_error.valid):
            m.d.sync += done.eq(1)
        with m.If(self.i_error.valid & ~failed):
            m.d.sync += [failed.eq(1), error.eq(self.i_error.payload)]
        with m.If(self.start | self.acknowledge):
            m.d.sync += [done.eq(0), failed.eq(0), error.eq(0)]
        return m

    def _constants(self) -> dict[str, int]:
        values = reset_values(self.config)
        return {
            entry.name: values[entry.name] for entry in register_map(self.config) if entry.constant
        }

    def _held(self, m: Module) -> dict[str, Value]:
        """The plain read-write registers; the bits that exist are kept, the others read 0."""
        window: Any = Signal(self.config.address_bits - 12, name="window_pages")
        m.d.comb += self.window_base[12:].eq(window)
        result: dict[str, Value] = {
            "program": self.program,
            "program_length": self.program_length,
            "window_base_low": window[:20],
            "window_base_high": window[20:],
            "window_beats": self.window_beats,
            "watchdog": self.watchdog,
        }
        for name, _, _ in STEP_FIELDS:
            result[name] = self.step[name]
        for index in range(self.config.sequences):
            for name, _, _ in SEQUENCE_FIELDS:
                result[f"sequence{index}_{name}"] = self.step.entries[index][name]
        return result

    def _counters(self, m: Module) -> dict[str, Value]:
        result: dict[str, Value] = {}
        for name, increment in members(self.i_counters).items():
            added = Signal(INCREMENT_BITS, name=f"added_{name}")
            count = Signal(64, name=f"count_{name}")
            m.d.sync += [added.eq(increment), count.eq(count + added)]
            with m.If(self.start):
                m.d.sync += [added.eq(0), count.eq(0)]
            result[f"{name}_low"], result[f"{name}_high"] = count[:32], count[32:]
        return result

    def _read_channel(
        self, m: Module, registers: tuple[Register, ...], values: dict[str, Value | int]
    ) -> None:
        bus, refusals = self.bus, self._refusals
        address = Signal(LITE_ADDRESS_BITS, reset_less=True)
        taken = Signal()
        word = Signal(32)
        read_word = payload_register(m, bus.rdata, "read_word")
        known = Signal()
        with m.Switch(address):
            for register in registers:
                with m.Case(register.offset):
                    value = Value.cast(values[register.name])
                    if register.name == "window_base_low":
                        m.d.comb += word[12:].eq(value)
                    else:
                        m.d.comb += word.eq(value)
                    m.d.comb += known.eq(1)
        m.d.comb += [
            bus.arready.eq(self._awake & ~taken & ~bus.rvalid),
            bus.rresp.eq(_OKAY),
            refusals.read.eq(taken & ~known),
            refusals.read_offset.eq(address),
        ]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [address.eq(bus.araddr), taken.eq(1)]
        with m.If(taken):
            m.d.sync += [
                taken.eq(0),
                bus.rvalid.eq(1),
                read_word.eq(word),
            ]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)

    def _write_channel(
        self,
        m: Module,
        registers: tuple[Register, ...],
        held: dict[str, Value],
        busy: Signal,
        enable: Signal,
    ) -> None:
        bus, refusals = self.bus, self._refusals
        address = Signal(LITE_ADDRESS_BITS, reset_less=True)
        word = Signal(32, reset_less=True)
        full = Signal(reset_less=True)
        address_taken = Signal()
        word_taken = Signal()
        rows, sequences = self.step.rows, self.step.sequences
        # A register, as the next write takes effect two cycles later at least.
        self._startable = Signal()
        m.d.sync += self._startable.eq(
            rows.any()
            & (rows <= self.config.chunk_tokens)
            & sequences.any()
            & (sequences <= self.config.sequences)
        )
        m.d.comb += [
            bus.awready.eq(self._awake & ~address_taken & ~bus.bvalid),
            bus.wready.eq(self._awake & ~word_taken & ~bus.bvalid),
            bus.bresp.eq(_OKAY),
            refusals.write.eq(address_taken & word_taken),
            refusals.write_offset.eq(address),
            refusals.write_word.eq(word),
            refusals.write_full.eq(full),
            refusals.busy.eq(busy),
            refusals.startable.eq(self._startable),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), address_taken.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [word.eq(bus.wdata), full.eq(bus.wstrb == 0b1111), word_taken.eq(1)]
        m.d.sync += [self.start.eq(0), self.soft_reset.eq(0), self.acknowledge.eq(0)]
        with m.If(address_taken & word_taken):
            m.d.sync += [address_taken.eq(0), word_taken.eq(0), bus.bvalid.eq(1)]
            with m.If(full):
                self._write_word(m, registers, held, address, word, busy, enable)
        with m.If(bus.bvalid & bus.bready):
            m.d.sync += bus.bvalid.eq(0)

    def _write_word(
        self,
        m: Module,
        registers: tuple[Register, ...],
        held: dict[str, Value],
        address: Signal,
        word: Signal,
        busy: Signal,
        enable: Signal,
    ) -> None:
        start, reset, interrupt, acknowledge = (
            word[flag.value.bit_length() - 1]
            for flag in (
                Control.START,
                Control.RESET,
                Control.INTERRUPT_ENABLE,
                Control.ACKNOWLEDGE,
            )
        )
        with m.Switch(address):
            for register in registers:
                if register.access == "ro":
                    continue
                fits = (word & (0xFFFFFFFF ^ register.mask)) == 0
                with m.Case(register.offset):
                    if register.name == "control":
                        with m.If(fits & (~start | (self._startable & ~busy))):
                            m.d.sync += [
                                self.start.eq(start),
                                self.soft_reset.eq(reset),
                                enable.eq(interrupt),
                                self.acknowledge.eq(acknowledge),
                            ]
                    elif register.name == "refused":
                        with m.If(fits):
                            m.d.comb += self._refusals.clear.eq(word)
                    else:
                        with m.If(fits & ~busy):
                            low = 12 if register.name == "window_base_low" else 0
                            m.d.sync += held[register.name].eq(word[low:])
