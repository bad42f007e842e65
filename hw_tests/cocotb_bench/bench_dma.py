# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the DMA controller: LOADs and STOREs of all shapes on all ports, in a small
window and far apart in the largest one, of rows and of caches. Run by test_step_bench.
"""

from __future__ import annotations

import cocotb
import numpy as np

from cocotb_bench.design import design_config
from hw_tests.cocotb_bench.program_bench import ProgramBench
from hw_tests.mutation.copies import far_copies, near_copies, random_settings
from hw_tests.mutation.programs import DATA_BEATS, Program
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, RowSet, TrafficClass
from meadow.spec.step import Sequence, Step

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


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(number=range(3))
async def what_was_loaded_is_stored(dut, number: int) -> None:
    """Rows in, and in segments of every size out again: nothing else of the chip is touched."""
    units = (f"port{CONFIG.ports - 1}", "loader", "storer")
    bench = await ProgramBench.start(dut, *units)
    random = np.random.default_rng(salted(number))
    word, content, commands = CONFIG.word_beats, DATA_BEATS, []
    for index in range(4):
        rows, words = int(random.integers(1, 12)), 2 ** int(random.integers(0, 5))
        common = {"row_set": RowSet.FIXED, "rows": rows, "traffic": TrafficClass.ACTIVATIONS}
        first = 300 * index
        load = {"destination": first, "destination_stride": words + index}
        load |= {"row_beats": words * word, "offset": content + int(random.integers(0, 255))}
        segments = 2 ** int(random.integers(0, words.bit_length()))
        store = {"source": first, "source_stride": words + index, "segments": segments}
        store |= {"segment_beats": words // segments * word, "segment_stride": 256}
        store |= {"offset": 2 * content + 8192 * index + int(random.integers(0, 255))}
        commands += [Command(Opcode.LOAD, load | common), Command(Opcode.STORE, store | common)]
    step = Step((Sequence(0, 0, 1, 0),))
    settings = random_settings(random, number)
    program = Program(
        name=f"rows {number}",
        step=step,
        commands=commands,
        beats=4 * content,
        settings=settings,
        seed=number,
        fills=False,
        dumps=False,
    )
    await bench.run([program])
