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
        ("full.eq(bus.wstrb == 0b1111)", "full.eq(bus.wstrb.any())", ("accepted",)),
        ("with m.If(fits & ~busy):", "with m.If(fits):", ("accepted", "fixed0")),
        ("with m.If(fits & ~busy):", "with m.If(~busy):", ("accepted",)),
        ("with m.If(fits & (~start", "with m.If((~start", ("accepted", "pulse0")),
        ("error.address[32:],", "error.address[:8],", ("read",)),
        ("Mux(known, _OKAY, _SLVERR)", "_OKAY", ("read_response",)),
        ("with m.If(self.i_error.valid & ~failed):", "with m.If(self.i_error.valid):", ("read",)),
        ("m.d.comb += word[12:].eq(value)", "m.d.comb += word.eq(value)", ("read",)),
        ("& (rows <= self.config.chunk_tokens)", "", ("accepted", "pulse0")),
        ("& sequences.any()", "", ("accepted", "pulse0")),
        ("& (~busy | self.stuck)", "& ~busy", ("interrupt", "read")),
        ("& (~busy | self.stuck)", "", ("interrupt", "read")),
        ("self.acknowledge.eq(acknowledge)", "self.acknowledge.eq(acknowledge & ~busy)", ("pulse3",)),
    ],
)  # fmt: skip
def test_planted_bugs(tmp_path: Path, old: str, new: str, checks: tuple[str, ...]) -> None:
    wrong = mutant(LiteRegisters, old, new)(config=CONFIG)
    refute(lite_bench(wrong), tmp_path, *checks, depth=14)
