# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a memory port: each channel held back for itself, answers late and in another
order between the kinds.
"""

from __future__ import annotations

import cocotb
from cocotb.triggers import ClockCycles

from cocotb_bench.memory import channels
from hw_tests.rtl_gen.dma.memory_port_driver import (
    CONFIG,
    MAX_BURST,
    TIMEOUT,
    MemoryPortDriver,
)

WRITES = 4096
"""Writes go behind this beat, reads before it: the two directions are not ordered."""
HELD = 500


def mixed(driver: MemoryPortDriver, count: int, first: int) -> list[tuple[int, int]]:
    """Runs of random lengths, one behind the other with gaps."""
    runs, offset = [], first
    for _ in range(count):
        beats = driver.rng.choice([1, 2, driver.rng.randrange(1, 70)])
        runs.append((offset, beats))
        offset += beats + driver.rng.randrange(1, 40)
    return runs


async def both(driver: MemoryPortDriver, count: int) -> None:
    """Reads and writes at the same time, all data and bursts checked."""
    reads, writes = mixed(driver, count, 3), mixed(driver, count, WRITES)
    writing = cocotb.start_soon(driver.write(writes))
    await driver.read(reads)
    await writing
    await driver.settle()
    driver.check_good(reads, writes)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(channel=["aw", "w", "b", "ar", "r"])
async def one_channel_rests(dut, channel: str) -> None:
    """The others are always ready."""
    driver = MemoryPortDriver(dut)
    driver.pause(0.7, longest=4, only=[channel])
    await driver.start()
    await both(driver, 12)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(longest=[1, 60], stall=[0.0, 0.6])
async def all_channels_rest(dut, longest: int, stall: float) -> None:
    """Short rests and long ones, each channel by itself; with `stall` the user of the port rests as
    well.
    """
    driver = MemoryPortDriver(dut)
    driver.pause(0.3 if longest == 1 else 0.05, longest=longest)
    await driver.start(stall=stall)
    await both(driver, 12)


async def held(dut, channel: str) -> MemoryPortDriver:
    driver = MemoryPortDriver(dut)
    channels(driver.ram)[channel].queue_occupancy_limit = 1000
    channels(driver.ram)[channel].pause = True
    await driver.start()
    return driver


@cocotb.test(**TIMEOUT)
async def reads_are_answered_before_older_writes(dut) -> None:
    """No write response for long: reads go on, writes stop at the bursts that may be
    outstanding.
    """
    driver = await held(dut, "b")
    writes = [(WRITES + 2 * MAX_BURST * index, 1) for index in range(2 * CONFIG.outstanding)]
    writing = cocotb.start_soon(driver.write(writes))
    await ClockCycles(dut.clk, HELD)
    assert len(driver.monitor.bursts["aw"]) == driver.monitor.most["aw"] == CONFIG.outstanding
    reads = mixed(driver, 10, 3)
    await driver.read(reads)
    assert int(dut.writes_pending.value) and not int(dut.idle.value)
    assert len(driver.monitor.bursts["aw"]) == CONFIG.outstanding
    channels(driver.ram)["b"].pause = False
    await writing
    await driver.settle()
    driver.check_bursts("aw", writes)
    driver.check_bursts("ar", reads)
    driver.check_memory()


@cocotb.test(**TIMEOUT)
async def writes_are_answered_before_older_reads(dut) -> None:
    """No read data for long: writes go on and end, reads stop at what may be outstanding."""
    driver = await held(dut, "r")
    reads = [(3 + 2 * index, 1) for index in range(2 * CONFIG.outstanding)]
    reading = cocotb.start_soon(driver.read(reads))
    await ClockCycles(dut.clk, HELD)
    assert len(driver.monitor.bursts["ar"]) == driver.monitor.most["ar"] == CONFIG.outstanding
    writes = mixed(driver, 10, WRITES)
    await driver.write(writes)
    for _ in range(HELD):
        await ClockCycles(dut.clk, 1)
        if not int(dut.writes_pending.value):
            break
    assert not int(dut.writes_pending.value) and not int(dut.idle.value)
    driver.check_memory()
    channels(driver.ram)["r"].pause = False
    await reading
    await driver.settle()
    driver.check_bursts("ar", reads)
    driver.check_bursts("aw", writes)


@cocotb.test(**TIMEOUT)
async def data_goes_before_its_address(dut) -> None:
    """AW waits while W does not: the slave has data of a burst whose address it has not seen."""
    driver = await held(dut, "aw")
    writes = [(WRITES, 5), (WRITES + 20, MAX_BURST + 3)]
    writing = cocotb.start_soon(driver.write(writes))
    await ClockCycles(dut.clk, 60)
    assert driver.monitor.bursts["aw"] == []
    channels(driver.ram)["aw"].pause = False
    await writing
    await driver.settle()
    driver.check_bursts("aw", writes)
    driver.check_memory()


@cocotb.test(**TIMEOUT)
async def a_consumer_that_rests_stops_requests_only(dut) -> None:
    """No beat is taken for long: the bursts asked for fit the prefetch storage, and none of their
    beats waits.
    """
    driver = MemoryPortDriver(dut)
    await driver.start()
    reads = [(7, 3 * CONFIG.prefetch_beats)]
    feeding = cocotb.start_soon(driver.describe("i_read", reads))
    await ClockCycles(dut.clk, CONFIG.prefetch_beats + HELD)
    await feeding
    asked = sum(beats for _, beats in driver.monitor.bursts["ar"])
    assert CONFIG.prefetch_beats - MAX_BURST < asked <= CONFIG.prefetch_beats + MAX_BURST
    await driver.expect(reads)
    await driver.settle()
    driver.check_bursts("ar", reads)
