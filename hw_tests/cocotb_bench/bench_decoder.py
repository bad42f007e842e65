# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the packed-weight decoder: MATMULs with random streams of every codec, and with
streams that are damaged, cut or too long behind a right checksum. Run by test_step_bench.
"""

from __future__ import annotations

from dataclasses import replace

import cocotb

from cocotb_bench.design import design_config
from cocotb_bench.unknowns import FOUR_STATES
from hw_tests.cocotb_bench.program_bench import ProgramBench
from hw_tests.mutation.weights import broken_streams, right_streams

CONFIG = design_config()
TIMEOUT = {"timeout_time": 8, "timeout_unit": "ms"}
ALONE = CONFIG.ports == 1
"""Streams are drawn for one port."""


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(8 if ALONE else 0))
async def right_streams_of_every_codec(dut, number: int) -> None:
    """Ten streams, one behind the other, without a cycle between them if the memory can."""
    bench = await ProgramBench.start(dut, "decoder0")
    program = right_streams(CONFIG, number)
    if FOUR_STATES:  # what the array makes of the weights takes too long there
        program = replace(program, fills=False, dumps=False)
    await bench.run([program])


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(100, 116 if ALONE else 100))
async def weights_in_results(dut, number: int) -> None:
    """As those, with scales by which every bit of a weight shows in what is computed."""
    bench = await ProgramBench.start(dut)
    await bench.run([right_streams(CONFIG, number, fine=True)])


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(5 if ALONE else 0))
async def wrong_streams(dut, number: int) -> None:
    """Streams that break a rule, alone, behind and before right ones; the next program is right."""
    bench = await ProgramBench.start(dut, "decoder0")
    few = 3 if FOUR_STATES else 16
    await bench.run([broken_streams(CONFIG, few * number + seed) for seed in range(few)])
