# SPDX-License-Identifier: Apache-2.0
"""Proof of the register file, and planted bugs that it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.formal.lite_bench import lite_bench
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import prove, refute
from meadow.spec.config import named_config
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.axi.refusals import Refusals

pytestmark = pytest.mark.formal

CONFIG = named_config("tiny")


@pytest.mark.quick
def test_register_file(tmp_path: Path) -> None:
    prove(lite_bench(LiteRegisters(config=CONFIG)), tmp_path)


def test_register_file_is_reached(tmp_path: Path) -> None:
    prove(lite_bench(LiteRegisters(config=CONFIG)), tmp_path, mode="cover", depth=10)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("bus.arready.eq(self._awake & ~taken & ~bus.rvalid)", "bus.arready.eq(self._awake & ~taken)", ("r_stable", "one_read")),
        ("with m.If(bus.bvalid & bus.bready):", "with m.If(bus.bready):", ("response",)),
        ("bus.awready.eq(self._awake & ~address_taken & ~bus.bvalid)", "bus.awready.eq(self._awake & ~bus.bvalid)", ("one_write",)),
        ("full.eq(bus.wstrb == 0b1111)", "full.eq(bus.wstrb.any())", ("interrupt",)),
        ("with m.If(fits & ~busy):", "with m.If(fits):", ("fixed0",)),
        ("with m.If(fits & ~busy):", "with m.If(~busy):", ("kept_head_all",)),
        ("with m.If(fits & (~start", "with m.If((~start", ("interrupt", "pulse0")),
        ("error.address[32:],", "error.address[:8],", ("read",)),
        ("refusals.read.eq(taken & ~known)", "refusals.read.eq(taken)", ("read",)),
        ("refusals.write.eq(address_taken & word_taken)", "refusals.write.eq(address_taken)", ("read",)),
        ("refusals.startable.eq(self._startable)", "refusals.startable.eq(1)", ("read",)),
        ("with m.If(self.i_error.valid & ~failed):", "with m.If(self.i_error.valid):", ("read",)),
        ("m.d.comb += word[12:].eq(value)", "m.d.comb += word.eq(value)", ("read",)),
        ("& (rows <= self.config.chunk_tokens)", "", ("pulse0",)),
        ("& sequences.any()", "", ("pulse0",)),
        ("& (~busy | self.stuck)", "& ~busy", ("interrupt", "read")),
        ("& (~busy | self.stuck)", "", ("interrupt", "read")),
        ("self.acknowledge.eq(acknowledge)", "self.acknowledge.eq(acknowledge & ~busy)", ("pulse3",)),
    ],
)  # fmt: skip
def test_planted_bugs(tmp_path: Path, old: str, new: str, checks: tuple[str, ...]) -> None:
    wrong = mutant(LiteRegisters, old, new)(config=CONFIG)
    refute(lite_bench(wrong), tmp_path, *checks, depth=14)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("with m.If(self.rules.any()):", "with m.If(self.clear.any()):"),
        ("self.rules & ~self.clear", "self.rules ^ self.clear"),
        ("with m.Elif(broken.any()):", "with m.Elif(broken.any() & ~lost):"),
        ("self.offset.eq(self.write_offset)", "self.offset.eq(self.read_offset)"),
        ("Refusal.NO_REGISTER), self.offset", "Refusal.NOT_WRITABLE), self.offset"),
        ("lost.eq(self.read)", "lost.eq(self.read & ~self.busy)"),
        ('if entry.access != "ro"}', 'if entry.access == "rw"}'),
        ("(word & (0xFFFFFFFF ^ mask)) == 0", "(word & 0xFFFF & ~mask) == 0"),
        ("waits.eq(word[0])", "waits.eq(0)"),
        ("m.d.comb += waits.eq(0)", "m.d.comb += waits.eq(1)"),
        ("with m.Elif(~self.write_full):", "with m.Elif(~self.write_full & ~self.busy):"),
        ("with m.Elif(self.busy & waits):", "with m.Elif(self.busy & waits & fits):"),
        ("with m.Elif(start & ~self.startable):", "with m.Elif(start):"),
        ("[broken.eq(0), ", "["),
    ],
)
def test_planted_bugs_of_refusals(tmp_path: Path, old: str, new: str) -> None:
    wrong = mutant(LiteRegisters, "", "", Refusals=mutant(Refusals, old, new))
    refute(lite_bench(wrong(config=CONFIG)), tmp_path, "read", depth=14)
