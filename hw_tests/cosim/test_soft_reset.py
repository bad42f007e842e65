# SPDX-License-Identifier: Apache-2.0
"""A soft reset at any cycle leaves a quiet bus and a chip that runs the next program correctly."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.cosim.chip_bench import Bench, bench
from hw_tests.seeds import salted

pytestmark = pytest.mark.sim


class _Abandoned(Exception):
    pass


def reset_at(run: Bench, cycle: int) -> None:
    """Start a step and give it up after so many cycles."""
    simulation, registers = run.device.simulation, run.session.registers

    def later() -> None:
        assert simulation.run(cycle, until_interrupt=True) == cycle
        registers.reset()
        raise _Abandoned

    run.device.before = later
    with pytest.raises(_Abandoned):
        run.step()
    assert simulation.quiet and not simulation.interrupt and registers.read("status") == 0
    assert run.session.positions == [0]
    run.check_bursts()


@pytest.mark.parametrize(
    ("config", "stalls", "resets"), [("tiny", 0, 12), ("tiny", 90, 12), ("small", 60, 8)]
)
def test_a_reset_in_the_middle_of_a_program(config: str, stalls: int, resets: int) -> None:
    random = np.random.default_rng(salted(resets + stalls))
    with bench(config, stalls=stalls, seed=salted(9), latency_cycles=25) as run:
        run.check_recovery()
        assert run.session.last is not None
        cycles = run.session.last.counters["cycles"]
        # Stalls start anew with every configuration: about as many cycles as the first time.
        for cycle in random.integers(1, cycles * 9 // 10, resets):
            reset_at(run, int(cycle))
            run.check_recovery()


def test_resets_follow_each_other() -> None:
    with bench("tiny", stalls=40, seed=salted(2)) as run:
        for cycle in (1, 2, 3, 40, 41, 300):
            reset_at(run, cycle)
            run.session.registers.reset()
        run.check_recovery()


def test_a_reset_while_nothing_runs() -> None:
    with bench("tiny") as run:
        run.session.registers.reset()
        run.check_recovery()
        run.session.registers.reset()
        run.check_recovery()
