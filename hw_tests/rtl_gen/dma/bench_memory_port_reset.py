# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a memory port: reset, and flush, at random cycles of full traffic."""

from __future__ import annotations

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from hw_tests.rtl_gen.dma.memory_port_driver import BASE, TIMEOUT, MemoryPortDriver

ROUNDS = 12
READS, WRITES = [(300, 200), (20, 7), (1000, 90)], [(2000, 150), (2300, 3), (2500, 100)]
FINAL_READS, FINAL_WRITES = [(255, 40), (2010, 20)], [(2100, 33), (4090, 9)]


async def traffic(driver: MemoryPortDriver, moment: int) -> dict[int, bytes]:
    """Reads and writes under way for `moment` cycles; the beats that may have been written, by
    offset.
    """
    words = {
        offset + beat: driver.rng.randbytes(16) for offset, beats in WRITES for beat in range(beats)
    }
    tasks = [
        cocotb.start_soon(driver.describe("i_read", READS)),
        cocotb.start_soon(driver.describe("i_write", WRITES)),
        cocotb.start_soon(
            driver.send("i_write_data", [int.from_bytes(word, "little") for word in words.values()])
        ),
        cocotb.start_soon(driver.receive(1000)),
    ]
    await ClockCycles(driver.dut.clk, moment)
    for task in tasks:
        task.cancel()
    return words


def accept_old_or_new(driver: MemoryPortDriver, words: dict[int, bytes]) -> int:
    """Take over what the memory now holds of the written beats, which is whole; how many are
    new.
    """
    count = 0
    for offset, word in words.items():
        start = BASE + 16 * offset
        if driver.ram.read(start, 16) == word:
            driver.content[start : start + 16] = word
            count += 1
    driver.check_memory()
    return count


async def works(driver: MemoryPortDriver) -> None:
    """Everything asked for now is done, with nothing left from before."""
    driver.monitor.bursts["ar"].clear()
    driver.monitor.bursts["aw"].clear()
    await driver.write(FINAL_WRITES)
    await driver.settle()
    await driver.read(FINAL_READS)
    await driver.settle()
    driver.check_good(FINAL_READS, FINAL_WRITES)


async def started(dut, rests: bool) -> MemoryPortDriver:
    """A port that is served, with a memory that rests now and then or never."""
    driver = MemoryPortDriver(dut)
    if rests:
        driver.pause(0.3, longest=5)
    await driver.start()
    return driver


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(rests=[False, True])
async def reset_at_any_cycle(dut, rests: bool) -> None:
    """Port and memory are reset together; afterwards nothing of before is left, and no beat was
    torn.
    """
    driver = await started(dut, rests)
    new = 0
    for round_ in range(ROUNDS):
        words = await traffic(driver, driver.rng.randrange(1, 60 if round_ % 3 else 400))
        await driver.reset(driver.rng.randrange(1, 6))
        await RisingEdge(dut.clk)
        assert int(dut.idle.value) and not int(dut.writes_pending.value), f"round {round_}"
        assert not int(dut.o_beat_valid.value)
        new += accept_old_or_new(driver, words)
        await works(driver)
    assert new > 0


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(rests=[False, True])
async def flush_at_any_cycle(dut, rests: bool) -> None:
    """The bus is left as AXI demands: every burst is finished, data of dropped ones without
    strobes.
    """
    driver = await started(dut, rests)
    new = 0
    for round_ in range(ROUNDS):
        words = await traffic(driver, driver.rng.randrange(1, 60 if round_ % 3 else 400))
        driver.quiet()
        dut.flush.value = 1
        for _ in range(5000):
            await RisingEdge(dut.clk)
            if int(dut.idle.value):
                break
        assert int(dut.idle.value) and not int(dut.writes_pending.value), f"round {round_}"
        await ClockCycles(dut.clk, 3)
        dut.flush.value = 0
        new += accept_old_or_new(driver, words)
        await works(driver)
    assert new > 0
