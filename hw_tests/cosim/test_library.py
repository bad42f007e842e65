# SPDX-License-Identifier: Apache-2.0
"""The DRAM model and its C interface, driven by the copy engine."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.library import Simulation, SimulationError
from cosim.timeline import TIMELINE_TRACK
from firmware.device import DeviceClosed
from hw_tests.seeds import salted

PORTS = 2
BASE = 0x1000_0000
DESTINATION = 0x8_0000
PORT_BYTES = 0x1_0000
BEATS = 512


def copied(memory: np.ndarray, beats: int = BEATS) -> bool:
    size = 16 * beats
    starts = [port * PORT_BYTES for port in range(PORTS)]
    return all(
        np.array_equal(memory[s : s + size], memory[DESTINATION + s : DESTINATION + s + size])
        for s in starts
    )


@pytest.mark.parametrize("stalls", [0, 64, 200])
def test_memory_is_shared_not_copied(copier, stalls: int) -> None:
    run = copier(stalls=stalls, seed=salted(5))
    before = run.memory.copy()
    run.copy(BEATS)
    assert copied(run.memory)
    # Guard bytes: nothing but the destinations has changed.
    for port in range(PORTS):
        start = DESTINATION + port * PORT_BYTES
        before[start : start + 16 * BEATS] = run.memory[start : start + 16 * BEATS]
    assert np.array_equal(before, run.memory)
    run.memory[: 16 * BEATS] = 7
    run.copy(BEATS)
    assert (run.memory[DESTINATION : DESTINATION + 16 * BEATS] == 7).all()


@pytest.mark.parametrize("rate", [(1, 1), (10, 1), (16, 3), (125, 8), (40, 1)])
def test_bandwidth_is_exactly_the_limit(copier, rate: tuple[int, int]) -> None:
    run = copier(rate=rate)
    total = 2 * PORTS * 16 * BEATS
    cycles = run.copy(BEATS)
    least = total * rate[1] / rate[0]
    # The bucket starts with what it saved while idle, one beat per port; the ends of the copy are
    # latency.
    assert least - PORTS * 16 * rate[1] / rate[0] - 1 <= cycles
    assert cycles <= least * 1.01 + 64 * 16 * rate[1] / rate[0] + 64
    assert copied(run.memory)


def test_without_a_limit_every_port_moves_a_beat_per_cycle(copier) -> None:
    assert BEATS < copier().copy(BEATS) < 1.25 * BEATS + 40


@pytest.mark.parametrize("latency", [1, 8, 64, 300])
def test_latency_counts_from_handshake_to_data(copier, latency: int) -> None:
    base = copier(latency_cycles=1).copy(16)
    # One burst: its data come `latency` after the address, the response `latency` after the last
    # beat.
    assert copier(latency_cycles=latency).copy(16) == base + 2 * (latency - 1)


def test_stalls_repeat_with_the_seed_and_change_with_it(copier) -> None:
    cycles = [copier(stalls=100, seed=salted(seed)).copy(BEATS) for seed in (1, 1, 2)]
    assert cycles[0] == cycles[1] != cycles[2]
    assert cycles[0] > copier().copy(BEATS)


def test_channels_stall_independently(copier) -> None:
    free = copier().copy(BEATS)
    for channel in (1, 3):
        stalls = [0] * 5
        stalls[channel] = 128
        assert copier(stalls=tuple(stalls)).copy(BEATS) > 1.5 * free


def test_settings_change_between_runs(copier) -> None:
    run = copier()
    fast = run.copy(BEATS)
    run.simulation.configure(rate=(4, 1))
    assert run.copy(BEATS) > 4 * fast
    run.simulation.configure(rate=(0, 1))
    assert run.copy(BEATS) == fast


def test_bytes_and_bursts_are_counted_per_port(copier) -> None:
    run = copier()
    run.copy(BEATS)
    for counters in run.simulation.counters:
        assert counters.bytes_read == counters.bytes_written == 16 * BEATS
        assert counters.read_bursts == counters.write_bursts == BEATS // 16


def test_an_injected_address_is_answered_slave_error(copier) -> None:
    run = copier(error_address=BASE + 0x105, error_writes=False)
    run.copy(BEATS)
    assert run.errors == 1
    assert (run.memory[DESTINATION + 0x100 : DESTINATION + 0x110] == 0).all()

    run = copier(error_address=BASE + DESTINATION + 0x100, error_reads=False)
    kept = run.memory[DESTINATION + 0x100 : DESTINATION + 0x110].copy()
    run.copy(BEATS)
    assert run.errors == 1
    assert np.array_equal(run.memory[DESTINATION + 0x100 : DESTINATION + 0x110], kept)


def test_an_address_outside_the_memory_is_answered_decode_error(copier) -> None:
    run = copier()
    before = run.memory.copy()
    run.copy(16, destination=0x40_0000)
    assert run.errors == PORTS
    assert np.array_equal(before, run.memory)


def test_registers_answer_with_their_response(copier) -> None:
    simulation = copier().simulation
    assert simulation.read(0x40) == (0, 2)
    assert simulation.write(0x40, 1) == 2
    assert simulation.write(0, 0xDEADBEEF) == 0
    assert simulation.read(0) == (0xDEADBEEF, 0)


def test_a_run_ends_after_the_cycles_asked_for(copier) -> None:
    simulation = copier().simulation
    first = simulation.cycle
    assert simulation.run(123) == 123
    assert simulation.cycle == first + 123
    assert simulation.run(50, until_interrupt=True) == 50


def test_two_simulations_of_one_library_are_independent(copier) -> None:
    one, two = copier(), copier()
    one.start(BEATS)
    two.start(16)
    two.simulation.run(1000, until_interrupt=True)
    assert two.simulation.interrupt and not one.simulation.interrupt


def test_an_assertion_ends_the_run_and_not_the_process(copier) -> None:
    run = copier()
    with pytest.raises(SimulationError, match="assertion or .stop at top.v"):
        run.copy(16, fault="stop")


@pytest.mark.parametrize(
    "memory",
    [
        *(np.zeros(64, np.int32), np.zeros((8, 8), np.uint8), np.zeros(128, np.uint8)[::2]),
        *([0] * 64, b"0" * 64, None),
    ],
    ids=repr,
)
def test_an_unusable_array_is_refused(copier, library: Path, memory: np.ndarray) -> None:
    with pytest.raises(ValueError, match="writable contiguous uint8 vector, not "):
        Simulation(library, memory, base=0)
    run = copier()
    run.simulation.memory = memory
    with pytest.raises(ValueError, match="writable contiguous uint8 vector, not "):
        run.simulation.configure(latency_cycles=1)
    run.simulation.memory = run.memory
    run.copy(16)
    assert copied(run.memory, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "0"}, "base must be an integer 0..2**64 - 1, not '0'"),
        ({"base": -1}, "base must be an integer 0..2**64 - 1, not -1"),
        ({"base": 0, "settings": {"rate": (1, 1)}}, "settings must be a DramSettings, not {"),
    ],
)
def test_what_is_no_address_or_no_settings_is_refused(
    library: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Simulation(library, np.zeros(64, np.uint8), **options)


def test_waveforms_need_a_library_built_for_them(copier, tmp_path: Path) -> None:
    simulation = copier().simulation
    with pytest.raises(ValueError, match="without tracing"):
        simulation.start_waves(tmp_path / "x.fst", np.zeros(0, TIMELINE_TRACK), running=0)
    assert simulation.end_waves() == 0
    assert not (tmp_path / "x.fst").exists()


def test_settings_that_are_refused_change_nothing(copier) -> None:
    simulation = copier().simulation
    before = simulation.settings
    with pytest.raises(ValueError, match="latency_cycles must be an integer, not 1.5"):
        simulation.configure(latency_cycles=1.5)
    assert simulation.settings == before
    with pytest.raises(ValueError, match="error_reads must be True or False, not 'x'"):
        simulation.configure(error_reads="x")
    with pytest.raises(ValueError, match="there is no setting 'latency': choose from rate, "):
        simulation.configure(latency=5)
    assert simulation.settings == before
    simulation.configure(latency_cycles=np.int64(5), stalls=np.int64(7), error_reads=np.True_)
    assert simulation.settings.latency_cycles == 5
    assert simulation.settings.channel_stalls == (7,) * 5


@pytest.mark.parametrize("cycles", [1.5, "1", None, -1, 1 << 64, float("nan")])
def test_a_number_of_cycles_is_an_integer(copier, cycles) -> None:
    simulation = copier().simulation
    for call in (simulation.run, simulation.reset):
        with pytest.raises(ValueError, match="cycles must be an integer 0"):
            call(cycles)


def test_a_close_waits_for_what_another_thread_has_begun(copier) -> None:
    simulation = copier().simulation
    ended: list[object] = []

    def work() -> None:
        try:
            while True:
                simulation.run(100_000)
        except DeviceClosed as error:
            ended.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    simulation.close()
    for thread in threads:
        thread.join(60)
    assert simulation.closed and len(ended) == 2
