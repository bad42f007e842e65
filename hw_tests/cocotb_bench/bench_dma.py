# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the DMA controller: LOADs and STOREs of all shapes on all ports, in a small
window and far apart in the largest one, of rows and of caches. Run by test_step_bench.
"""

from __future__ import annotations

import cocotb

from cocotb_bench.design import design_config
from hw_tests.cocotb_bench.program_bench import ProgramBench
from hw_tests.mutation.copies import far_copies, near_copies

CONFIG = design_config()
TIMEOUT = {"timeout_time": 8, "timeout_unit": "ms"}
BASES = (0x2A_AAAA_A000, 0xD5_5555_5000)


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(8))
async def copies(dut, number: int) -> None:
    """Twelve pairs of a LOAD and a STORE, of every row set, stride and segment."""
    bench = await ProgramBench.start(dut)
    await bench.run([near_copies(CONFIG, number)])
    used = {port for port, *_ in bench.rules.bursts}
    assert used == set(range(CONFIG.ports)), f"ports {used}"


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(4))
async def places_far_apart(dut, number: int) -> None:
    """Every bit of an address is 0 and 1 somewhere."""
    bench = await ProgramBench.start(dut)
    if CONFIG.address_bits >= 40:
        await bench.run([far_copies(CONFIG, number, BASES[number % 2])])
