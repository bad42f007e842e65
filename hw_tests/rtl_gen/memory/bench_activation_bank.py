# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of a bank of the activation memory: reads and writes against a dictionary; of
UltraRAM also with one of its two write enables.
"""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from rtl_gen.memory.activation_bank import BANK_LATENCY, ULTRA_EXPONENT

_CYCLES = 4000


@cocotb.test()
async def reads_see_every_write_before_them(dut) -> None:
    """A write offered in the same cycle is not seen; without `read_enable` a word is any word."""
    rng = random.Random(cocotb.RANDOM_SEED)
    Clock(dut.clk, 10, unit="ns").start()
    depth = int(os.environ["BANK_WORDS"])
    # A few neighbours at both ends of every block.
    words = [place + k for place in range(0, depth, 256) for k in (0, 1, 255)]
    content: dict[int, int] = {}
    expected: dict[int, int] = {}
    compared = 0
    dut.read_enable.value = dut.write_enable.value = 0
    for cycle in range(_CYCLES):
        await RisingEdge(dut.clk)
        address, reads = rng.choice(words), rng.random() < 0.7
        dut.read_address.value, dut.read_enable.value = address, int(reads)
        if reads and address in content:
            expected[cycle + BANK_LATENCY] = content[address]
        place = rng.choice([*words, address])
        everything = (1 << len(dut.write_enable)) - 1
        writes = rng.choice([everything, rng.randint(0, everything)]) * (rng.random() < 0.8)
        data = rng.getrandbits(len(dut.write_data))
        dut.write_address.value, dut.write_enable.value = place, writes
        dut.write_data.value = data
        await ReadOnly()
        if cycle in expected:
            assert int(dut.read_data.value) == expected.pop(cycle), cycle
            compared += 1
        if writes == everything:
            content[place] = data
        elif place in content and writes:
            below = (1 << ULTRA_EXPONENT) - 1
            kept = ~below if writes == 1 else below
            content[place] = content[place] & kept | data & ~kept
    assert compared > _CYCLES // 3
