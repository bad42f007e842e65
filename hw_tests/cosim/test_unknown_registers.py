# SPDX-License-Identifier: Apache-2.0
"""Whatever registers hold before the reset pin, results are golden: nothing without a reset is
looked at before it is written.
"""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from cosim.generate import generated_verilog
from firmware.session import Session
from hw_tests.cosim.chip_bench import WATCHDOG, Bench, bench
from hw_tests.marks import long, slow
from hw_tests.seeds import salted
from meadow.spec.config import named_config
from rtl_gen.blocks.reset import RESET_CYCLES

pytestmark = pytest.mark.sim

_REGISTER = re.compile(r"^(  reg (?:\[\d+:0\] )?(?:\\\S+ |\w+) = )(\d+)'h([0-9a-f]+);$", re.M)
_FEWEST = 2000
"""Registers of a small chip."""


def _unknown(text: str, number: int) -> tuple[str, int]:
    """The text with any value in every register at the beginning, and how many registers those are;
    registers with a reset are among them.
    """
    generator = random.Random(salted(number))

    def value(match: re.Match[str]) -> str:
        bits = int(match[2])
        return f"{match[1]}{bits}'h{generator.getrandbits(bits):x};"

    return _REGISTER.subn(value, text)


class _Stopped(Exception):
    pass


def _reset_at(run: Bench, cycle: int) -> None:
    """Start a step, and reset the chip in its middle, as short as that may be."""
    simulation = run.device.simulation

    def later() -> None:
        assert simulation.run(cycle, until_interrupt=True) == cycle
        simulation.reset(RESET_CYCLES)
        raise _Stopped

    run.device.before = later
    with pytest.raises(_Stopped):
        run.step()
    registers = run.session.registers
    assert simulation.quiet and not simulation.interrupt and registers.read("status") == 0
    run.session = Session(run.device, run.image)
    run.session.registers.set_watchdog(WATCHDOG)


@pytest.mark.parametrize(("config", "seed"), [("tiny", 1), long("tiny", 2), slow("nano", 3)])
def test_results_do_not_depend_on_what_registers_held(config: str, seed: int) -> None:
    text, count = _unknown(generated_verilog(named_config(config)), seed)
    assert count > _FEWEST
    generator = np.random.default_rng(salted(seed))
    with bench(config, verilog=text, stalls=30, seed=salted(seed)) as run:
        run.check_recovery()
        assert run.session.last is not None
        cycles = run.session.last.counters["cycles"]
        for cycle in generator.integers(1, cycles * 9 // 10, 12):
            _reset_at(run, int(cycle))
            run.check_recovery()


def test_every_register_gets_another_value() -> None:
    text = "  reg a = 1'h1;\n  reg [7:0] \\b$1  = 8'h00;\n  reg c = 0;\n  reg [3:0] d;\n"
    changed, count = _unknown(text, 5)
    assert count == 2
    assert changed.splitlines()[2:] == text.splitlines()[2:]
    assert len({_unknown(text, seed)[0] for seed in range(20)}) > 10
