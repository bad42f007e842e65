# SPDX-License-Identifier: Apache-2.0
"""Rules of the architectural machine: what is refused, with which error code and which words."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from meadow.golden.machine.machine import Machine
from meadow.golden.machine.state import MachineError
from meadow.spec.commands import Command, Opcode, Outputs
from meadow.spec.config import named_config
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

ZCU102 = named_config("zcu102-paper")
STEP = Step((Sequence(0, 0, 1),))
HEAD = dict(blocks=1, segment_beats=4, score_shift=1, heads=1)
MATMUL = dict(row_set=1, slices=1, tiles=1, output=6, post_shift=9)
MATMUL |= {f"beats{port}": 4 for port in range(4)}
NORM = dict(words=2, rows=1, channels=64, epsilon=1, mean_shift=1, output_shift=1)


def machine(dram_bytes: int = 1 << 16) -> Machine:
    made = Machine(ZCU102, np.zeros(dram_bytes, np.uint8))
    made.activations[:] = 1
    return made


@pytest.mark.parametrize(
    ("opcode", "fields", "message", "code"),
    [
        (Opcode.LOAD, dict(rows=1, row_beats=4, space=3), "space must be in 0..2, not 3", 1),
        (Opcode.LOAD, dict(rows=1, row_beats=6), "LOAD row_beats must be a multiple of 4: .* 6", 1),
        (Opcode.LOAD, dict(rows=1, row_beats=4, offset=1 << 20), "leaves the DMA window", 2),
        (
            Opcode.LOAD,
            dict(rows=2, row_beats=4, destination=32767, destination_stride=1),
            "reaches word 32768, the memory has 32768",
            7,
        ),
        (Opcode.STORE, dict(rows=1, segments=0, segment_beats=1), "segments must be in 1..4095", 1),
        (
            Opcode.STORE,
            dict(rows=1, segments=1, segment_beats=4, source=32768),
            "STORE reaches word 32768",
            7,
        ),
        (
            Opcode.STORE,
            dict(rows=1, segments=1, segment_beats=4, offset=4095),
            "STORE of bytes 0xfff0..0x10030 leaves the DMA window of 0x10000 bytes",
            2,
        ),
        (Opcode.MATMUL, MATMUL | dict(beats0=0), "beats0 must be in 1..268435455, not 0", 1),
        (Opcode.MATMUL, MATMUL | dict(post_shift=0), "post_shift must be in 1..31 with", 1),
        (Opcode.MATMUL, MATMUL, "MATMUL checksum|MATMUL .*stream", 5),
        (Opcode.MATMUL, MATMUL | dict(offset3=4096), "stream of port 3 of bytes 0x10000", 2),
        (Opcode.ATTEND, HEAD | dict(heads=17), "ATTEND field heads must be in 1..16, not 17", 1),
        (Opcode.ATTEND, HEAD | dict(query=32768), "ATTEND query reaches word 32768", 7),
        (Opcode.ATTEND, HEAD | dict(value_offset=1 << 31), "ATTEND of bytes 0x800000000..", 2),
        (
            Opcode.ATTEND,
            HEAD | dict(first=1, rows=1, causal=1),
            r"ATTEND first \+ rows must not exceed the 1 tokens of the sequence, not 2",
            1,
        ),
        (Opcode.SOFTMAX, dict(rows=0, keys=1), "SOFTMAX field rows must be in 1..640, not 0", 1),
        (
            Opcode.SOFTMAX,
            dict(rows=2, keys=64, causal=1, source_stride=4),
            "SOFTMAX source_stride must be at least 5, not 4",
            1,
        ),
        (
            Opcode.SOFTMAX,
            dict(rows=1, keys=64, source=32766),
            "SOFTMAX source reaches word 32768",
            7,
        ),
        (Opcode.NORM, NORM | dict(words=3), "NORM words must be even", 1),
        (Opcode.NORM, NORM | dict(source=32767), "NORM source reaches word 32768", 7),
        (
            Opcode.NORM,
            NORM | dict(channels=60),
            "NORM rows must be 0 from channel 60 on",
            1,
        ),
        (Opcode.VECTOR, dict(rows=1, function=1), "VECTOR field function must be in 0..0", 1),
        (Opcode.VECTOR, dict(rows=1, destination=1 << 19), "VECTOR destination reaches word", 7),
    ],
)
def test_errors_name_rule_value_code_and_command(
    opcode: Opcode, fields: dict[str, int], message: str, code: int
) -> None:
    made = machine()
    with pytest.raises(MachineError, match=message) as caught:
        made.execute(Command(opcode, fields), STEP)
    assert caught.value.code == ErrorCode(code) and caught.value.command is None
    program = Command(Opcode.FENCE).encode() + Command(opcode, fields).encode()
    made.dram[: len(program)] = np.frombuffer(program, np.uint8)
    with pytest.raises(MachineError, match=message) as caught:
        made.run_program(0, 5, STEP)
    assert caught.value.code == ErrorCode(code) and caught.value.command == 1


def test_a_command_of_a_part_that_is_not_there_is_illegal() -> None:
    made = Machine(named_config("zcu102"), np.zeros(1 << 16, np.uint8))
    with pytest.raises(MachineError, match="^configuration zcu102 has no softmax unit") as caught:
        made.execute(Command(Opcode.SOFTMAX, dict(rows=1, keys=1)), STEP)
    assert caught.value.code == ErrorCode.ILLEGAL_COMMAND


@pytest.mark.parametrize(
    ("step", "fields", "message"),
    [
        (
            Step((Sequence(0, 0, 1), Sequence(0, 0, 1, 1))),
            dict(part=2),
            "ATTEND VALUES must be run with one sequence, not 2",
        ),
        (
            Step((Sequence(0, 0, 1), Sequence(0, 0, 1, 1))),
            dict(rows=1),
            "ATTEND with rows must be run with one sequence, not 2",
        ),
        (
            Step((Sequence(0, 0, 9),)),
            dict(rows=8),
            r"ATTEND first \+ rows must equal the 9 tokens of the sequence, not 8",
        ),
        (
            Step((Sequence(0, 60, 9),)),
            dict(part=1, scores_stride=4),
            "ATTEND scores_stride must be at least 5, not 4",
        ),
        (
            Step((Sequence(0, 0, 41),)),
            dict(heads=16),
            "ATTEND must need at most 40 token groups of 1, not 41",
        ),
    ],
)
def test_attend_depends_on_the_step(step: Step, fields: dict[str, int], message: str) -> None:
    with pytest.raises(MachineError, match=message):
        machine().execute(Command(Opcode.ATTEND, HEAD | fields), step)


def write(made: Machine, place: int, *commands: bytes) -> None:
    program = b"".join(commands)
    made.dram[place : place + len(program)] = np.frombuffer(program, np.uint8)


@pytest.mark.parametrize("bit", [0, 13, 200, 479, 480, 511])
def test_a_flipped_bit_is_not_an_illegal_command(bit: int) -> None:
    made = machine(1024)
    write(made, 16, Command(Opcode.FENCE).encode(), Command(Opcode.FENCE).encode())
    made.dram[80 + bit // 8] ^= 1 << bit % 8
    with pytest.raises(MachineError, match="command 1: a command has CRC-32") as caught:
        made.run_program(1, 5, STEP)
    assert (caught.value.code, caught.value.command) == (ErrorCode.COMMAND_CHECK, 1)


def test_empty_memory_is_no_program() -> None:
    with pytest.raises(MachineError, match="command 0: a command has CRC-32") as caught:
        machine(1024).run_program(0, 5, STEP)
    assert caught.value.code == ErrorCode.COMMAND_CHECK


def test_an_unknown_opcode_with_a_right_checksum() -> None:
    made = machine(1024)
    body = bytes([77]) + bytes(59)
    write(made, 0, Command(Opcode.FENCE).encode(), body + zlib.crc32(body).to_bytes(4, "little"))
    with pytest.raises(MachineError, match="command 1: unknown opcode 77") as caught:
        made.run_program(0, 5, STEP)
    assert (caught.value.code, caught.value.command) == (ErrorCode.ILLEGAL_COMMAND, 1)


def test_a_command_is_checked_before_its_condition() -> None:
    command = Command(Opcode.VECTOR, dict(rows=1, function=1), condition=Outputs.LOGITS)
    with pytest.raises(MachineError, match="VECTOR field function"):
        machine().execute(command, Step((Sequence(0, 0, 1),), Outputs.ARGMAX))


def test_fetch_outside_the_window() -> None:
    made = machine(1024)
    message = "command read of bytes .* leaves the DMA window"
    with pytest.raises(MachineError, match=message) as caught:
        made.run_program(61, 5, STEP)
    assert (caught.value.code, caught.value.command) == (ErrorCode.WINDOW, 0)
    # Commands are read four at a time: 4 is inside, but not 5.
    write(made, 44 * 16, Command(Opcode.FENCE).encode() * 5)
    assert made.run_program(44, 5, STEP) == 5
    with pytest.raises(MachineError, match=message) as caught:
        made.run_program(44, 6, STEP)
    assert (caught.value.code, caught.value.command) == (ErrorCode.WINDOW, 4)


@pytest.mark.parametrize(
    "dram", [np.zeros(16), np.zeros((1, 16), np.uint8), np.zeros(17, np.uint8)]
)
def test_dram_must_be_whole_beats_of_bytes(dram: np.ndarray) -> None:
    with pytest.raises(ValueError, match="dram must be uint8, 1-D, whole beats of 16 bytes"):
        Machine(ZCU102, dram)
