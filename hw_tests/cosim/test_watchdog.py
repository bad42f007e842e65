# SPDX-License-Identifier: Apache-2.0
"""A memory that falls silent ends the program; when it answers again, the chip goes on as if
nothing had been.
"""

from __future__ import annotations

import numpy as np
import pytest

from cosim.native import CHANNELS
from firmware.device import DeviceError, RegisterError
from hw_tests.cosim.chip_bench import WATCHDOG, Bench, bench
from hw_tests.seeds import salted
from meadow.spec.registers import ErrorCode, Status

pytestmark = pytest.mark.sim

FIRST_CYCLES = 300


def silence(run: Bench, channel: str) -> None:
    run.device.simulation.configure(stalls=tuple(256 * (name == channel) for name in CHANNELS))


def check_error(run: Bench, error: DeviceError) -> None:
    """WATCHDOG at the command that was handed over last, and nothing published."""
    last = max(0, run.session.registers.read("command_index") - 1)
    labels = run.image.manifest.labels
    assert (error.code, error.command) == (ErrorCode.WATCHDOG, last), str(error)
    assert error.label == labels[last] and run.session.positions == [0]
    assert Status.DONE not in run.device.ended
    run.check_bursts()


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_that_falls_silent(config: str, channel: str) -> None:
    with bench(config) as run:
        simulation = run.device.simulation

        def later() -> None:
            simulation.run(FIRST_CYCLES)
            silence(run, channel)

        run.device.before = later
        with pytest.raises(DeviceError, match="the memory does not answer a burst") as caught:
            run.step()
        assert caught.value.stuck
        assert Status.BUSY | Status.STUCK | Status.ERROR in run.device.ended
        check_error(run, caught.value)
        simulation.run(10 * WATCHDOG)
        with pytest.raises(RegisterError, match="it is stuck: the memory does not answer"):
            run.step()
        simulation.configure(stalls=0)
        simulation.run(1000)
        assert simulation.quiet and run.session.registers.read("status") == 0
        run.check_recovery()


def test_a_channel_that_answers_before_the_device_is_stuck() -> None:
    with bench("tiny") as run:
        simulation = run.device.simulation

        def later() -> None:
            simulation.run(FIRST_CYCLES)
            silence(run, "r")
            simulation.run(WATCHDOG + WATCHDOG // 2)
            assert not simulation.interrupt
            simulation.configure(stalls=0)

        run.device.before = later
        with pytest.raises(DeviceError) as caught:
            run.step()
        assert not caught.value.stuck
        check_error(run, caught.value)
        run.check_recovery()


@pytest.mark.parametrize("limit", [0, 3 * WATCHDOG])
def test_a_pause_below_the_limit_changes_nothing(limit: int) -> None:
    with bench("tiny", latency_cycles=200, stalls=128, seed=salted(4)) as run:
        simulation = run.device.simulation
        run.session.registers.set_watchdog(limit)

        def later() -> None:
            simulation.run(FIRST_CYCLES)
            silence(run, "r")
            simulation.run(2 * WATCHDOG)
            assert not simulation.interrupt
            simulation.configure(stalls=128)

        run.device.before = later
        assert np.array_equal(run.step(), run.expected)
        run.session.rewind()
        run.check_recovery()


@pytest.mark.parametrize("config", ["tiny", "small"])
def test_a_slow_memory_is_no_reason(config: str) -> None:
    with bench(config, latency_cycles=WATCHDOG - 400, stalls=128, seed=salted(4)) as run:
        assert np.array_equal(run.step(), run.expected)


def test_the_first_error_stays_when_the_memory_falls_silent_after_it() -> None:
    with bench("tiny", latency_cycles=400) as run:
        simulation, registers = run.device.simulation, run.session.registers
        address = run.address(run.field("layers.0.fc2.0", "offset0") + 16)
        simulation.configure(error_address=address)

        def later() -> None:
            while Status.ERROR not in Status(registers.read("status")):
                simulation.run(1)
            silence(run, "r")

        run.device.before = later
        run.fails(ErrorCode.READ_RESPONSE, "layers.0.fc2.0", stuck=True)
        simulation.configure(stalls=0)
        simulation.run(2000)
        run.check_recovery()
