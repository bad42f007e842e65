# SPDX-License-Identifier: Apache-2.0
"""Recorded bursts are those of the bus, and none outside a window is overlooked."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.bursts import BURST, outside
from cosim.device import CosimDevice
from hw_tests.cosim.copy_engine import copy_engine_verilog
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS

BASE = 0x1000_0000
DESTINATION = 0x8_0000
PORT_BYTES = 0x1_0000


@pytest.mark.parametrize("stalls", [0, 160])
def test_every_burst_is_recorded_once(copier, stalls: int) -> None:
    run = copier(stalls=stalls, seed=salted(3))
    run.copy(64)
    assert not len(run.simulation.take_bursts())
    run.simulation.record_bursts()
    run.copy(64)
    bursts = run.simulation.take_bursts()
    assert not len(run.simulation.take_bursts())
    expected = [
        (BASE + write * DESTINATION + port * PORT_BYTES + 256 * index, 16, port, write)
        for write in (0, 1)
        for port in range(2)
        for index in range(4)
    ]
    found = [tuple(int(v) for v in burst)[1:] for burst in bursts]
    assert sorted(found) == sorted(expected)
    assert (np.diff(bursts["cycle"].astype(np.int64)) >= 0).all()
    assert not len(outside(bursts, BASE, DESTINATION + 2 * PORT_BYTES))
    assert len(outside(bursts, BASE, DESTINATION)) == 8
    run.simulation.record_bursts(False)
    run.copy(64)
    assert not len(run.simulation.take_bursts())


def test_a_burst_that_is_never_taken_is_recorded(copier) -> None:
    run = copier(stalls=(256, 0, 0, 0, 0))
    run.simulation.record_bursts()
    run.start(64)
    run.simulation.run(500)
    bursts = run.simulation.take_bursts()
    assert bursts["address"][bursts["write"] == 0].tolist() == [BASE, BASE + PORT_BYTES]
    assert all(counters.read_bursts == 0 for counters in run.simulation.counters)


@pytest.mark.parametrize("channel", range(5))
def test_the_bus_is_quiet_without_bursts(copier, channel: int) -> None:
    run = copier(stalls=tuple(256 * (index == channel) for index in range(5)))
    simulation = run.simulation
    assert simulation.quiet
    run.start(16)
    simulation.run(1000)
    assert not simulation.quiet and not simulation.interrupt
    simulation.configure(stalls=0)
    simulation.run(1000, until_interrupt=True)
    assert simulation.quiet and simulation.interrupt


@pytest.mark.parametrize(
    ("address", "beats", "inside"),
    [
        (0x1000, 1, True),
        (0x1FF0, 1, True),
        (0x1FF0, 2, False),
        (0xFF0, 1, False),
        (0xFF0, 2, False),
        (0x2000, 1, False),
        ((1 << 64) - 16, 2, False),
    ],
)
def test_the_edges_of_a_window(address: int, beats: int, inside: bool) -> None:
    bursts = np.array([(5, address, beats, 0, 1)], BURST)
    assert bool(len(outside(bursts, 0x1000, 0x1000))) != inside


def test_guards_lie_around_the_window() -> None:
    config = CONFIGURATIONS["small"]
    verilog = copy_engine_verilog(ports=config.ports)
    with CosimDevice(
        config, 1 << 20, memory_base=BASE, verilog=verilog, guard_bytes=8192
    ) as device:
        below, above = device.guards
        assert below.size == above.size == 8192
        below[:], above[:] = 3, 4
        device.memory[:256] = np.arange(256)
        # Port 0 copies from the end of the lower guard on into the window.
        for offset, value in ((0, BASE - 256), (4, BASE + 0x8_0000), (8, 32), (0xC, 1)):
            device.write(offset, value)
        device.wait()
        copied = device.memory[0x8_0000 : 0x8_0000 + 512]
        assert (copied[:256] == 3).all() and copied[256:].tolist() == list(range(256))
        assert (below == 3).all() and (above == 4).all()
    for wrong in (100, -4096, BASE + 4096):
        with pytest.raises(ValueError, match="guard_bytes must be a multiple of 4096 in 0.."):
            CosimDevice(config, 4096, memory_base=BASE, verilog=verilog, guard_bytes=wrong)
