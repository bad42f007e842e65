# SPDX-License-Identifier: Apache-2.0
"""Rules of the architectural machine: what is refused, with which error code and which words."""

from __future__ import annotations

import numpy as np
import pytest

from meadow.golden.machine import Machine
from meadow.golden.machine_state import MachineError
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import named_config
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

ZCU102 = named_config("zcu102")
STEP = Step((Sequence(0, 0, 1),))
HEAD = dict(blocks=1, segment_beats=4, score_shift=1, heads=1)
NORM = dict(words=2, rows=1, channels=64, epsilon=1, mean_shift=1, output_shift=1)


def machine(dram_bytes: int = 1 << 16) -> Machine:
    made = Machine(ZCU102, np.zeros(dram_bytes, np.uint8))
    made.activations[:] = 1
    return made


@pytest.mark.parametrize(
    ("opcode", "fields", "message", "code"),
    [
        (
            Opcode.LOAD,
            dict(rows=1, row_beats=0),
            "LOAD row_beats must be a multiple of 4, not 0",
            1,
        ),
        (
            Opcode.LOAD,
            dict(rows=1, row_beats=6),
            "LOAD row_beats must be a multiple of 4, not 6",
            1,
        ),
        (Opcode.LOAD, dict(rows=1, row_beats=4, space=3), "LOAD space must be one of .*, not 3", 1),
        (Opcode.LOAD, dict(rows=1, row_beats=4, offset=1 << 20), "leaves the DMA window", 2),
        (
            Opcode.LOAD,
            dict(rows=2, row_beats=4, destination=32767, destination_stride=1),
            "reaches word 32768, the memory has 32768",
            1,
        ),
        (Opcode.LOAD, dict(rows=1, row_beats=4, row_set=3), "LOAD row_set must be one of", 1),
        (Opcode.LOAD, dict(rows=1, row_beats=4, traffic=5), "LOAD traffic must be one of", 1),
        (
            Opcode.STORE,
            dict(rows=1, segments=1, segment_beats=5),
            "STORE segment_beats must be at most 4 or",
            1,
        ),
        (
            Opcode.STORE,
            dict(rows=1, segments=0, segment_beats=1),
            "STORE segments must be at least 1",
            1,
        ),
        (Opcode.MATMUL, dict(slices=1, tiles=1), "MATMUL row_set must be CHUNK or HEAD", 1),
        (
            Opcode.MATMUL,
            dict(row_set=1, slices=0, tiles=1),
            "slices and tiles must be at least 1",
            1,
        ),
        (
            Opcode.MATMUL,
            dict(row_set=1, slices=1, tiles=1),
            "MATMUL a stream has at least 16 bytes",
            5,
        ),
        (
            Opcode.MATMUL,
            dict(row_set=1, slices=1, tiles=1, output=7),
            "MATMUL output must be one of",
            1,
        ),
        (
            Opcode.MATMUL,
            dict(row_set=1, slices=1, tiles=1, output=5),
            "MATMUL post_shift must be in 1..31, not 0",
            1,
        ),
        (
            Opcode.MATMUL,
            dict(row_set=1, slices=1, tiles=1, output=6, post_shift=32),
            "MATMUL post_shift must be in 1..31, not 32",
            1,
        ),
        (Opcode.ATTEND, dict(segment_beats=4), "ATTEND blocks must be at least 1, not 0", 1),
        (Opcode.ATTEND, dict(blocks=2, segment_beats=2), "ATTEND segment_beats must divide 4", 1),
        (
            Opcode.ATTEND,
            dict(blocks=1, segment_beats=2, column_beats=3),
            "column_beats must be a multiple of 2 below 4, not 3",
            1,
        ),
        (
            Opcode.ATTEND,
            dict(blocks=3, segment_beats=4, score_shift=1),
            "head dim must be at most 128, not 192",
            1,
        ),
        (
            Opcode.ATTEND,
            HEAD | dict(score_shift=48),
            "ATTEND score_shift must be in 1..47, not 48",
            1,
        ),
        (Opcode.ATTEND, HEAD | dict(heads=0), "ATTEND heads must be in 1..16, not 0", 1),
        (Opcode.ATTEND, HEAD | dict(heads=17), "ATTEND heads must be in 1..16, not 17", 1),
        (Opcode.ATTEND, HEAD | dict(part=3), "ATTEND part must be one of .*, not 3", 1),
        (
            Opcode.ATTEND,
            HEAD | dict(heads=2, part=1),
            "ATTEND SCORES must have heads = 1, not 2",
            1,
        ),
        (Opcode.ATTEND, HEAD | dict(first=1), "ATTEND first without rows must be 0, not 1", 1),
        (
            Opcode.ATTEND,
            HEAD | dict(first=1, rows=1, causal=1),
            r"ATTEND first \+ rows must not exceed the 1 tokens of the sequence, not 2",
            1,
        ),
        (
            Opcode.SOFTMAX,
            dict(rows=0, keys=1),
            "SOFTMAX rows must be at least 1, not 0",
            1,
        ),
        (Opcode.SOFTMAX, dict(rows=1), "SOFTMAX keys must be at least 1, not 0", 1),
        (
            Opcode.SOFTMAX,
            dict(rows=2, keys=4096, causal=1, source_stride=300),
            "SOFTMAX must see at most 4096 keys, not 4097",
            1,
        ),
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
            1,
        ),
        (Opcode.NORM, dict(words=3, rows=1), "NORM words must be even", 1),
        (
            Opcode.NORM,
            NORM | dict(residual=1),
            "NORM residual_shift must be in 1..32, not 0",
            1,
        ),
        (
            Opcode.NORM,
            NORM | dict(residual=1, residual_shift=1, row_set=2),
            "NORM with residual must have row_set FIXED or CHUNK, not 2",
            1,
        ),
        (
            Opcode.NORM,
            dict(words=2, rows=1, channels=65),
            "NORM channels must be in 1..64, not 65",
            1,
        ),
        (Opcode.NORM, dict(words=2, rows=1, channels=64), "NORM epsilon must be in 1..", 1),
        (
            Opcode.NORM,
            dict(words=2, rows=1, channels=60, epsilon=1, mean_shift=1, output_shift=1),
            "NORM rows must be 0 from channel 60 on",
            1,
        ),
        (Opcode.VECTOR, dict(rows=641), "VECTOR rows must be at most 640, not 641", 1),
        (Opcode.VECTOR, dict(rows=1, function=1), "VECTOR function must be one of", 1),
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
        made.run(0, 5, STEP)
    assert caught.value.code == ErrorCode(code) and caught.value.command == 1


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


def test_illegal_opcode_and_fetch_outside_the_window() -> None:
    made = machine(1024)
    with pytest.raises(MachineError, match="command 0: unknown opcode 0"):
        made.run(0, 5, STEP)
    with pytest.raises(
        MachineError, match="command fetch of bytes .* leaves the DMA window"
    ) as caught:
        made.run(61, 5, STEP)
    assert caught.value.code == ErrorCode.WINDOW


@pytest.mark.parametrize(
    "dram", [np.zeros(16), np.zeros((1, 16), np.uint8), np.zeros(17, np.uint8)]
)
def test_dram_must_be_whole_beats_of_bytes(dram: np.ndarray) -> None:
    with pytest.raises(ValueError, match="dram must be uint8, 1-D, whole beats of 16 bytes"):
        Machine(ZCU102, dram)
