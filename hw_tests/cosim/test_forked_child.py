# SPDX-License-Identifier: Apache-2.0
"""A simulation in a forked child: what the child closes is its own copy, not the parent's."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosim.library import Simulation
from cosim.timeline import TIMELINE_TRACK
from cosim.verilator_build import build_library
from firmware.device import DeviceClosed
from hw_tests.cosim.copy_engine import copy_engine_verilog

BASE = 0x1000_0000


def forked(work: Callable[[], None]) -> None:
    """Run `work` in a forked child; fails with what it raises, and if it takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            work()
            os.write(writer, b"ended")
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        ready, _, _ = select.select([told], [], [], 60)
        if not ready:
            os.kill(child, signal.SIGKILL)
        text = told.read().decode()
    os.waitpid(child, 0)
    assert text == "ended", text


@pytest.mark.slow  # builds a library with tracing
def test_what_a_forked_child_closes_is_its_own(tmp_path: Path) -> None:
    verilog = copy_engine_verilog(ports=1)
    memory = np.zeros(1 << 16, np.uint8)
    waves = tmp_path / "waves.fst"
    simulation = Simulation(build_library(verilog, ports=1, trace=True), memory, base=BASE)
    simulation.start_waves(waves, np.zeros(0, TIMELINE_TRACK), running=0)
    simulation.run(10)
    written = waves.read_bytes()

    def work() -> None:
        assert simulation.inherited and not simulation.closed
        simulation.close()
        simulation.close()
        assert simulation.closed
        with pytest.raises(DeviceClosed):
            simulation.run(1)

    forked(work)
    # What the parent has not written yet is the parent's to write, once.
    assert waves.read_bytes() == written
    assert not simulation.closed and not simulation.inherited
    assert simulation.run(5) == 5
    simulation.close()
    assert len(waves.read_bytes()) > len(written)


def test_a_child_that_closes_does_not_wait_for_a_thread_of_its_parent(copier) -> None:
    simulation = copier().simulation
    thread = threading.Thread(target=simulation.run, args=(3_000_000,))
    thread.start()
    time.sleep(0.05)
    forked(simulation.close)
    assert thread.is_alive()
    thread.join(120)
    assert not simulation.closed
