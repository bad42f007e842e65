# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the attention engine: ATTENDs and SOFTMAXes of all shapes, masks and scales on
noise. Run by test_step_bench.
"""

from __future__ import annotations

import cocotb

from cocotb_bench.design import design_config
from hw_tests.cocotb_bench.program_bench import ProgramBench
from hw_tests.mutation.attention import attention_program

CONFIG = design_config()
TIMEOUT = {"timeout_time": 8, "timeout_unit": "ms"}


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(10 if CONFIG.baseline else 0))
async def scores_softmax_and_values(dut, number: int) -> None:
    """Eight commands on random queries, keys and values: whole attention with grouped queries, of
    several sequences, causal or not, over several key blocks and head blocks, and its three parts.
    """
    bench = await ProgramBench.start(dut)
    await bench.run([attention_program(CONFIG, number, far=False)])


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(2 if CONFIG.baseline else 0))
async def caches_far_apart(dut, number: int) -> None:
    """Keys and values all over a window of nearly 2^32 beats."""
    bench = await ProgramBench.start(dut)
    await bench.run([attention_program(CONFIG, 10 + number, far=True)])
