# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the register file; an independent AXI4-Lite master drives it. Run by
test_lite_registers_cocotb.
"""

from __future__ import annotations

import itertools
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import MAGIC, Control, Status, register_map

CONFIG = CONFIGURATIONS["tiny"]
MAP = {register.name: register for register in register_map(CONFIG)}


async def prepare(dut, stall: bool) -> AxiLiteMaster:
    cocotb.start_soon(Clock(dut.clk, 4, "ns").start())
    for name in ("busy", "stuck", "done_set", "error_valid", "command_index", "increment_cycles"):
        getattr(dut, name).value = 0
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    if stall:
        for index, channel in enumerate(
            (
                master.write_if.aw_channel,
                master.write_if.w_channel,
                master.write_if.b_channel,
                master.read_if.ar_channel,
                master.read_if.r_channel,
            )
        ):
            rng = random.Random(cocotb.RANDOM_SEED + index)
            channel.set_pause_generator(bool(rng.randrange(4)) for _ in itertools.count())
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    return master


@cocotb.test()
@cocotb.parametrize(stall=[False, True])
async def registers(dut, stall: bool) -> None:
    master = await prepare(dut, stall)
    read = await master.read(0, 4)
    assert int.from_bytes(read.data, "little") == MAGIC
    read = await master.read(MAP["contract_hash0"].offset, 32)
    assert read.resp == AxiResp.OKAY and read.data.hex() == contract_hash(CONFIG)
    rng = random.Random(cocotb.RANDOM_SEED)
    names = ["program", "program_length", "window_beats", "sequence1_kv_base", "sequence3_kv_base"]
    for _ in range(3):
        values = {name: rng.getrandbits(32) for name in names}
        for name, value in values.items():
            answer = await master.write(MAP[name].offset, value.to_bytes(4, "little"))
            assert answer.resp == AxiResp.OKAY
        for name, value in values.items():
            read = await master.read(MAP[name].offset, 4)
            assert int.from_bytes(read.data, "little") == value
        assert int(dut.program.value) == values["program"]
    for offset in range(0, 0x480, 4):
        known = offset in {register.offset for register in MAP.values()}
        read = await master.read(offset, 4)
        assert read.resp == (AxiResp.OKAY if known else AxiResp.SLVERR)
    for offset in (0x000, 0x104, 0x140, 0x200, 0x0FC, 0xFF0):
        assert (await master.write(offset, bytes(4))).resp == AxiResp.SLVERR
    # Part of a word.
    assert (await master.write(MAP["program"].offset, b"\x55")).resp == AxiResp.SLVERR
    assert int(dut.program.value) == values["program"]


@cocotb.test()
async def doorbell(dut) -> None:
    master = await prepare(dut, True)

    async def control(bits: int):
        return (await master.write(MAP["control"].offset, bits.to_bytes(4, "little"))).resp

    async def status() -> int:
        return int.from_bytes((await master.read(MAP["status"].offset, 4)).data, "little")

    pulses = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if int(dut.start.value):
                pulses.append(1)
                dut.busy.value = 1

    cocotb.start_soon(watch())
    assert await control(Control.START) == AxiResp.SLVERR  # without rows
    for name in ("rows", "sequences"):
        answer = await master.write(MAP[name].offset, (1).to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY
    assert await control(Control.START | Control.INTERRUPT_ENABLE) == AxiResp.OKAY
    assert await status() == Status.BUSY
    assert (await master.write(MAP["rows"].offset, bytes(4))).resp == AxiResp.SLVERR
    assert await control(Control.START) == AxiResp.SLVERR
    assert pulses == [1]
    await RisingEdge(dut.clk)
    dut.busy.value = 0
    dut.done_set.value = 1
    await RisingEdge(dut.clk)
    dut.done_set.value = 0
    assert await status() == Status.DONE | Status.INTERRUPT
    assert int(dut.interrupt.value)
    await control(Control.ACKNOWLEDGE)
    assert await status() == 0
