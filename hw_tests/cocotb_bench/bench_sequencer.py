# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the sequencer's checks: commands on both sides of every range and rule, good ones
in long programs that pass them over, and others that must be refused. Run by test_step_bench.
"""

from __future__ import annotations

from collections.abc import Sequence as List

import cocotb
import numpy as np

from cocotb_bench.design import design_config
from cocotb_bench.device import drive
from firmware.device import DeviceError
from firmware.registers import Registers
from hw_tests.cocotb_bench.program_bench import ProgramBench
from hw_tests.mutation.ranges import range_commands
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

CONFIG = design_config()
OPCODES = [opcode for opcode in Opcode if opcode != Opcode.SOFTMAX or CONFIG.baseline]
TIMEOUT = {"timeout_time": 8, "timeout_unit": "ms"}
TOGETHER, REFUSED = 400, 60
"""Good commands of a program, and refused ones that are tried of an opcode."""
END, FENCE = (Command(opcode).encode() for opcode in (Opcode.END, Opcode.FENCE))
WINDOW_BEATS = 1 << 14


@cocotb.test(**TIMEOUT)
@cocotb.parametrize(opcode=[opcode.name for opcode in OPCODES])
async def ranges(dut, opcode: str) -> None:
    """What is refused is refused with its own number, and nothing else is."""
    bench = await ProgramBench.start(dut)
    bench.device.map(np.zeros(WINDOW_BEATS * BEAT_BYTES, np.uint8), 0x1000_0000)
    registers = Registers(bench.device, CONFIG)
    await drive(registers.set_window)
    await drive(registers.set_step, Step((Sequence(0, 0, 1),)))
    good, bad = range_commands(CONFIG, Opcode[opcode])
    random = np.random.default_rng(salted(int(Opcode[opcode])))
    for start in range(0, len(good), TOGETHER):
        commands = [*good[start : start + TOGETHER], END]
        error = await run(bench, registers, commands)
        assert error is None, f"{opcode} from {start}: {error}"
        assert await drive(registers.read, "command_index") == len(commands)
    for number in random.permutation(len(bad))[:REFUSED].tolist():
        index = int(random.integers(5))
        error = await run(bench, registers, [*[FENCE] * index, bad[number], FENCE, END])
        wanted = (ErrorCode.ILLEGAL_COMMAND, index)
        assert error == wanted, f"{opcode} {number}: {error}"
    bench.rules.check()


async def run(
    bench: ProgramBench, registers: Registers, commands: List[bytes]
) -> tuple[ErrorCode, int] | None:
    """Run encoded commands; code and command of the error."""
    data = b"".join(commands)
    bench.device.memory[: len(data)] = np.frombuffer(data, np.uint8)
    try:
        await drive(registers.run_program, 0, len(commands))
    except DeviceError as error:
        return error.code, error.command
    return None
