# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a memory port: error responses at every beat of a burst."""

from __future__ import annotations

import cocotb
from cocotbext.axi import AxiResp

from hw_tests.rtl_gen.dma.memory_port_driver import (
    BASE,
    MAX_BURST,
    TIMEOUT,
    MemoryPortDriver,
    inject,
)
from meadow.spec.registers import ErrorCode

PLACES = (0, 256 + 3)
"""First beats of runs, in turns: at a boundary, and a few beats behind one."""


def address(beat: int) -> int:
    return BASE + 16 * beat


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(
    response=[AxiResp.SLVERR, AxiResp.DECERR], write=[False, True], length=[1, 2, MAX_BURST]
)
async def one_beat_of_a_burst(dut, response: AxiResp, write: bool, length: int) -> None:
    """One pulse with the burst's address, whichever beat it is; the beats come or go all the
    same.
    """
    driver = MemoryPortDriver(dut)
    faults: dict[int, AxiResp] = {}
    inject(driver.ram, faults)
    await driver.start()
    code = ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE
    expected = []
    for position in range(length):
        place = PLACES[position % 2]
        faults[address(place + position)] = response
        expected.append((int(code), address(place)))
        if write:
            await driver.write([(place, length)])
        else:
            await driver.read([(place, length)])
        await driver.settle()
        assert driver.monitor.faults == expected, f"beat {position}"
        faults.clear()
    # The port goes on as if nothing had been.
    await driver.write([(9, 3)])
    await driver.settle()
    await driver.read([(8, 5)])
    await driver.settle()
    assert driver.monitor.faults == expected
    driver.check_memory()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(write=[False, True])
async def the_burst_that_failed_is_named(dut, write: bool) -> None:
    """A descriptor of several bursts, faults in some of them, their beats behind rests of the
    channels.
    """
    driver = MemoryPortDriver(dut)
    run = (256 - 5, 5 + 3 * MAX_BURST + 7)
    bursts = [256 - 5, *(256 + MAX_BURST * index for index in range(4))]
    faults = {
        address(bursts[0]): AxiResp.SLVERR,
        address(bursts[2] + 1): AxiResp.DECERR,
        address(bursts[4] + 6): AxiResp.SLVERR,
    }
    inject(driver.ram, faults)
    driver.pause(0.4, longest=3)
    await driver.start(stall=0.3)
    await (driver.write([run]) if write else driver.read([run]))
    await driver.settle()
    code = int(ErrorCode.WRITE_RESPONSE if write else ErrorCode.READ_RESPONSE)
    assert driver.monitor.faults == [(code, address(bursts[index])) for index in (0, 2, 4)]
    assert driver.monitor.blamed == [driver.command_of["i_write" if write else "i_read", 251]] * 3
    driver.check_memory()


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(write=[False, True])
async def the_command_that_failed_is_named(dut, write: bool) -> None:
    """Many short descriptors in flight, each of another command, every third with a fault."""
    driver = MemoryPortDriver(dut)
    name = "i_write" if write else "i_read"
    runs = [(7 + 24 * index, 1 + index % 20) for index in range(40)]
    bad = runs[1::3]
    inject(driver.ram, {address(offset + beats // 2): AxiResp.SLVERR for offset, beats in bad})
    driver.pause(0.3, longest=6)
    await driver.start(stall=0.2)
    await (driver.write(runs) if write else driver.read(runs))
    await driver.settle()
    assert driver.monitor.blamed == [driver.command_of[name, offset] for offset, _ in bad]
    driver.check_memory()


@cocotb.test(**TIMEOUT)
async def every_bad_beat_of_a_read_is_a_pulse(dut) -> None:
    """All beats of a burst fail; of a write burst only the one response can."""
    driver = MemoryPortDriver(dut)
    faults = {address(beat): AxiResp.SLVERR for beat in range(16)}
    inject(driver.ram, faults)
    await driver.start()
    await driver.read([(0, 16)])
    await driver.settle()
    assert set(driver.monitor.faults) == {(int(ErrorCode.READ_RESPONSE), address(0))}
    assert len(driver.monitor.faults) == 16
    driver.monitor.faults.clear()
    await driver.write([(0, 16)])
    await driver.settle()
    assert driver.monitor.faults == [(int(ErrorCode.WRITE_RESPONSE), address(0))]


@cocotb.test(**TIMEOUT)
async def an_exclusive_okay_is_no_error(dut) -> None:
    """EXOKAY answers what was never asked for, but it is not an error response."""
    driver = MemoryPortDriver(dut)
    inject(driver.ram, {address(3): AxiResp.EXOKAY})
    await driver.start()
    await driver.read([(0, 8)])
    await driver.write([(0, 8)])
    await driver.settle()
    assert driver.monitor.faults == []
