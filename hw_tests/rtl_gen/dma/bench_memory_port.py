# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a memory port: every place around 4 KiB, and every byte that must stay. Run by
test_memory_port_cocotb.
"""

from __future__ import annotations

import cocotb

from hw_tests.rtl_gen.dma.memory_port_driver import CONFIG, MAX_BURST, TIMEOUT, MemoryPortDriver

PAGE_BEATS = 256


def around_boundaries(lengths: list[int], step: int = 1) -> list[tuple[int, int]]:
    """Runs of each length that begin from one beat too early to touch a boundary to one beat behind
    it, none overlapping.

    Between two runs lies at least a beat that must stay; with a step, only every so many starts and
    the ends.
    """
    runs, page = [], 1
    for length in lengths:
        starts = {*range(-length - 1, 2, step), -length, -1, 0, 1}
        for start in sorted(starts):
            page += -(-(length + 2) // PAGE_BEATS) + 1
            runs.append((PAGE_BEATS * page + start, length))
    return runs


async def write_and_read(dut, runs: list[tuple[int, int]], stall: float, longest: int) -> None:
    end = max(offset + beats for offset, beats in runs)
    driver = MemoryPortDriver(dut, bytes_log2=(16 * (end + 2 * PAGE_BEATS)).bit_length())
    if longest:
        driver.pause(0.2, longest=longest)
    await driver.start(stall=stall)
    await driver.write(runs)
    await driver.settle()
    driver.check_memory()
    driver.check_bursts("aw", runs)
    await driver.read(runs)
    driver.check_bursts("ar", runs)
    await driver.settle()
    driver.check_memory()
    assert driver.monitor.faults == []
    assert 1 < driver.monitor.most["ar"] <= CONFIG.outstanding


@cocotb.test(**TIMEOUT)
async def every_place_around_a_boundary(dut) -> None:
    """All short lengths and those around powers of two, at every start."""
    await write_and_read(dut, around_boundaries([*range(1, 9), 15, 16, 17, 31, 33]), 0.0, 0)


@cocotb.test(**TIMEOUT)
async def long_runs_around_a_boundary(dut) -> None:
    """Runs of several bursts, over one boundary and over two."""
    lengths = [MAX_BURST - 1, MAX_BURST, MAX_BURST + 1, 2 * MAX_BURST + 1, 255, 256, 257, 300]
    await write_and_read(dut, around_boundaries(lengths, step=127), 0.0, 0)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(stall=[0.0, 0.5], longest=[1, 25])
async def places_with_stalls(dut, stall: float, longest: int) -> None:
    """Every channel rests at random; with `stall` the port's user too."""
    await write_and_read(dut, around_boundaries([1, 2, 3, 16, 17, 65], step=7), stall, longest)


@cocotb.test(**TIMEOUT)
async def the_edges_of_the_window(dut) -> None:
    """The first and the last beats that may be touched; one beat further is a fault and no
    burst.
    """
    driver = MemoryPortDriver(dut)
    await driver.start()
    last = (driver.size - 0x1000) // 16 - 1
    inside = [(0, 1), (last, 1), (0, 17), (last - 16, 17)]
    for run in inside:
        await driver.write([run])
        await driver.settle()
        driver.check_bursts("aw", [run])
        await driver.read([run])
        driver.check_bursts("ar", [run])
    driver.check_memory()
    for run in ((last, 2), (last + 1, 1), (0xFFFFFFFF, 1), (0xFFFFFFFF, 2)):
        for name in ("i_read", "i_write"):
            await driver.describe(name, [run])
            await driver.settle()
    code, address = 2, 0x1000 + 16 * (last + 1)
    first = [(code, address - 16)] * 2 + [(code, address)] * 2
    assert driver.monitor.faults[:4] == first and len(driver.monitor.faults) == 8
    assert driver.monitor.blamed[::2] == [blamed - 1 for blamed in driver.monitor.blamed[1::2]]
    assert driver.monitor.bursts == {"ar": [], "aw": []}
    driver.check_memory()


@cocotb.test(**TIMEOUT)
async def nothing_is_a_fault(dut) -> None:
    """A descriptor without beats, anywhere, between others that are right."""
    driver = MemoryPortDriver(dut)
    await driver.start()
    for name in ("i_read", "i_write"):
        await driver.describe(name, [(0, 0), (300, 0)])
        await driver.settle()
    assert driver.monitor.faults == [(2, 0x1000), (2, 0x1000 + 4800)] * 2
    assert driver.monitor.bursts == {"ar": [], "aw": []}
    await driver.write([(299, 2)])
    await driver.settle()
    await driver.read([(298, 4)])
    driver.check_memory()


@cocotb.test(**TIMEOUT)
async def a_window_over_the_top(dut) -> None:
    """What would lie above the highest address is not what lies at 0."""
    driver = MemoryPortDriver(dut)
    top = 1 << CONFIG.address_bits
    dut.window_base.value = top - 4096
    dut.window_beats.value = 0xFFFFFFFF
    await driver.start()
    wrong = [(255, 2), (256, 1), (0, 257), (256 + 16, 40), (1 << 20, 1)]
    for run in wrong:
        for name in ("i_read", "i_write"):
            await driver.describe(name, [run])
            await driver.settle()
    first = [(top - 4096 + 16 * offset) % top for offset, _ in wrong]
    assert driver.monitor.faults == [(2, address) for address in first for _ in range(2)]
    assert driver.monitor.bursts == {"ar": [], "aw": []}
    driver.check_memory()
