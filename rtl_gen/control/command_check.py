# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a command: its CRC-32, its opcode, or a field that is out of its range."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Opcode, command_fields
from meadow.spec.config import AcceleratorConfig
from meadow.spec.parts import used_opcodes
from meadow.spec.ranges import field_ranges
from meadow.spec.rules import command_rules
from rtl_gen.blocks.crc32 import CRC_ONES, CRC_RESIDUE, crc_network
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import COMMAND_BITS, command_layout
from rtl_gen.interfaces.dma import BEAT_BITS

__all__ = ["COMMAND_BEAT", "CommandCheck", "Verdict"]

COMMAND_BEAT = data.StructLayout({"first": 1, "data": BEAT_BITS})
"""A beat of a command; `first` marks its first one."""


class Verdict(enum.Enum, shape=2):
    """What becomes of a command."""

    GOOD = 0
    CHECK = 1  # its CRC-32 differs
    ILLEGAL = 2  # unknown opcode, or a field out of its range
    UNREAD = 3  # the memory answered its read with an error


class CommandCheck(wiring.Component):
    """verdict = CHECK if the CRC-32 of the command's bytes differs, else ILLEGAL if a rule of
    meadow.spec.ranges is broken.

    Every rule is a comparison of its own, then those of an opcode are joined, then the opcodes; the
    CRC-32 comes beat by beat.

    Parameters
    ----------
    config: the configuration.

    Members
    -------
    i_beat: In stream of COMMAND_BEAT without back-pressure, one command after the other.
    command: In(COMMAND_BITS), the command from the cycle after its last beat on, for one cycle at
        least.
    verdict: Out(Verdict).

    Latency: `latency` cycles from a command's last beat to `verdict`, which stays until that of the
    next one. Throughput: one beat per cycle. No back-pressure.
    """

    latency = 4

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "i_beat": In(stream.Signature(COMMAND_BEAT, always_ready=True)),
                "command": In(COMMAND_BITS),
                "verdict": Out(Verdict),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sealed = self._checksum(m)
        legal = [self._legal(m, opcode) for opcode in used_opcodes(self.config)]
        verdict = payload_register(m, self.verdict, "verdict_register")
        with m.If(~sealed):
            m.d.sync += verdict.eq(Verdict.CHECK)
        with m.Elif(~Cat(*legal).any()):
            m.d.sync += verdict.eq(Verdict.ILLEGAL)
        with m.Else():
            m.d.sync += verdict.eq(Verdict.GOOD)
        return m

    def _checksum(self, m: Module) -> Signal:
        """Whether the CRC-32 is right, 3 cycles after the last beat."""
        share = Signal(32, reset_less=True)
        state = Signal(32, reset_less=True)
        valid = Signal()
        first = Signal(reset_less=True)
        sealed = Signal()
        m.d.sync += [
            share.eq(crc_network(self.i_beat.payload.data)),
            valid.eq(self.i_beat.valid),
            first.eq(self.i_beat.payload.first),
            sealed.eq(state == CRC_RESIDUE),
        ]
        with m.If(valid):
            m.d.sync += state.eq(crc_network(Mux(first, CRC_ONES, state)) ^ share)
        return sealed

    def _legal(self, m: Module, opcode: Opcode) -> Signal:
        """Whether it is a command of this opcode without fault, 3 cycles after the last beat."""
        layout = command_layout(opcode)
        fields = data.View(layout, self.command[: layout.size])
        name = opcode.name.lower()
        held: list[Value] = []

        def hold(condition: Value, what: str) -> None:
            register = Signal(name=f"{name}_{what}", reset_less=True)
            m.d.sync += register.eq(condition)
            held.append(register)

        hold(fields.opcode == opcode.value, "opcode")
        ranges = field_ranges(self.config, opcode)
        for field in command_fields(opcode):
            if field.name not in ranges:
                continue
            least, most = ranges[field.name]
            low = -(1 << (field.bits - 1)) if field.signed else 0
            high = (1 << (field.bits - field.signed)) - 1
            value = fields[field.name]
            above = value.any() if (low, least) == (0, 1) else value >= least
            inside = (above if least > low else Const(1)) & (
                value <= most if most < high else Const(1)
            )
            hold(inside, field.name)
        for index, rule in enumerate(command_rules(self.config, opcode)):
            hold(rule.holds(fields), f"rule{index}")
        legal = Signal(name=f"{name}_legal", reset_less=True)
        m.d.sync += legal.eq(Cat(*held).all())
        return legal
