# SPDX-License-Identifier: Apache-2.0
"""MATMUL of the architectural machine, and the arg-max behind it, against plain Python on
`meadow.spec.numerics`.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.epilogues import finished
from hw_tests.noisy_machine import machine, step
from hw_tests.seeds import salted
from meadow.compiler.packing.packing import pack_matrix
from meadow.golden.machine.machine import Machine
from meadow.golden.machine.state import MachineError
from meadow.model.quantised import QuantisedLinear
from meadow.spec import numerics
from meadow.spec.commands import (
    Command,
    Opcode,
    RowSet,
    TrafficClass,
    VectorFunction,
)
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.epilogue import EPILOGUES, MatmulOutput, SecondOperand
from meadow.spec.registers import ErrorCode

CONFIGS = [named_config(name) for name in ("tiny", "small", "zcu102")]


def noise(config: AcceleratorConfig, slices: int, tiles: int, seed: int = 0) -> QuantisedLinear:
    random = np.random.default_rng(salted(seed))
    outputs = slices * config.width
    return QuantisedLinear(
        weight=random.integers(-127, 128, (outputs, tiles * config.width)).astype(np.int8),
        bias=random.integers(-(1 << 18), 1 << 18, outputs).astype(np.int32),
        multiplier=random.integers(1 << 12, 1 << 16, outputs).astype(np.uint16),
        shift=random.integers(20, 31, outputs).astype(np.uint8),
    )


def matmul(made: Machine, matrix: QuantisedLinear, **values: int) -> tuple[Command, int]:
    """Put the streams of a matrix at beat 64 and describe them; also their bytes."""
    config, place, fields = made.config, 64, dict(values)
    for port, stream in enumerate(pack_matrix(matrix, config, "auto").streams):
        made.dram[place * 16 : place * 16 + len(stream)] = np.frombuffer(stream, np.uint8)
        fields[f"offset{port}"], fields[f"beats{port}"] = place, len(stream) // 16
        place += len(stream) // 16
    fields["slices"] = matrix.outputs // config.width
    fields["tiles"] = matrix.inputs // config.width
    return Command(Opcode.MATMUL, fields), (place - 64) * 16


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102"))
@pytest.mark.parametrize("output", list(MatmulOutput))
def test_matmul_outputs(config: AcceleratorConfig, output: MatmulOutput) -> None:
    made, width = machine(config), config.width
    matrix = noise(config, 2, 3)
    epilogue = EPILOGUES[output]
    wide = epilogue.wide
    fields = dict(source=10, source_stride=3, destination=100, destination_stride=5)
    fields |= dict(output=output, row_set=RowSet.CHUNK, channels=2 * width, restart=1)
    fields |= dict(rotary=200, rotary_stride=4, rotary_words=2, post_shift=20)
    command, size = matmul(made, matrix, **fields)
    before = made.activations.copy()
    made.execute(command, step(3, 2))
    for row in range(5):
        x = before[10 + 3 * row : 13 + 3 * row].reshape(-1).view(np.int8).astype(int)
        words = slice(100 + 5 * row, 100 + 5 * row + 2 * (1 + wide))
        old = before[words].reshape(-1).view("<i2" if wide else np.int8)
        results = []
        for channel in range(matrix.outputs):
            total = int(x @ matrix.weight[channel].astype(int)) + int(matrix.bias[channel])
            multiplier, shift = int(matrix.multiplier[channel]), int(matrix.shift[channel])
            result = numerics.requantise(total, multiplier, shift, epilogue.bits)
            results.append(max(0, result) if epilogue.relu else result)
        rotary = before[200 + 4 * row : 202 + 4 * row].reshape(-1).view("<i2")
        expected = finished(
            epilogue.mode,
            results,
            second=np.resize(rotary, len(results)).tolist()
            if epilogue.second == SecondOperand.ROTARY
            else old.tolist(),
            table=made.activation_table.reshape(-1).view(np.int8).tolist(),
            shift=20,
        )
        before[words].reshape(-1).view(old.dtype)[:] = expected
    assert (made.activations == before).all()
    assert made.traffic[TrafficClass.WEIGHTS] == size
    made.execute(command, step(3, 2))
    assert made.traffic[TrafficClass.WEIGHTS] == 2 * size


@pytest.mark.parametrize("words", [1, 2, 4])
def test_rotary_words_repeat_after_their_number(words: int) -> None:
    """Heads of W/2, W and 2*W channels: every head of a row is turned by the same angles."""
    config = CONFIGS[1]
    made = machine(config)
    matrix = noise(config, 4, 1)
    half = matrix.outputs // 8
    same = np.tile(np.arange(words * half), 8 // words)
    matrix = QuantisedLinear(
        weight=matrix.weight[same],
        bias=matrix.bias[same],
        multiplier=matrix.multiplier[same],
        shift=matrix.shift[same],
    )
    fields = dict(source=0, source_stride=1, destination=100, destination_stride=4)
    fields |= dict(output=MatmulOutput.ROTATE8, row_set=RowSet.CHUNK, post_shift=22)
    fields |= dict(rotary=300, rotary_stride=words, rotary_words=words)
    command, _ = matmul(made, matrix, **fields)
    made.execute(command, step(3))
    rows = made.activations[100:112].reshape(3, 8 // words, -1)
    assert (rows == rows[:, :1]).all() and len(np.unique(rows)) > 8


def test_argmax_runs_over_pieces_and_takes_the_lowest_index() -> None:
    config = CONFIGS[0]
    made = machine(config)
    made.activations[0:2] = 1
    winners = ((3, 500), (9, 500), (14, 900))  # the last lies in the padding
    for first, restart in ((0, 1), (16, 0), (32, 0)):
        bias = np.full(16, -40, np.int32)
        for channel, value in winners:
            bias[channel] = value + (first >= 16 and channel == 9)
        matrix = QuantisedLinear(
            weight=np.zeros((16, 16), np.int8),
            bias=bias,
            multiplier=np.full(16, 2, np.uint16),
            shift=np.ones(16, np.uint8),
        )
        fields = dict(source=0, source_stride=1, destination=50, destination_stride=2)
        fields |= dict(output=MatmulOutput.LOGITS16, row_set=RowSet.HEAD, channels=12)
        command, _ = matmul(made, matrix, first_channel=first, restart=restart, **fields)
        made.execute(command, step(5, 1))
    vector = dict(function=VectorFunction.ARGMAX, destination=80, destination_stride=3)
    made.execute(Command(Opcode.VECTOR, vector | dict(row_set=RowSet.HEAD)), step(5, 1))
    for row in range(2):
        assert made.activations[80 + 3 * row].view("<i4").tolist() == [25, 501, 0, 0]
    made.forget_candidates()
    assert made.best_index[0] == 0 and made.best_value[0] == -(1 << 15)


def test_corrupt_stream_is_reported_every_time() -> None:
    made = machine(CONFIGS[0])
    fields = dict(
        source=0, source_stride=1, destination=90, destination_stride=2, row_set=RowSet.CHUNK
    )
    command, _ = matmul(made, noise(CONFIGS[0], 1, 1), **fields)
    made.execute(command, step(1))
    made.dram[64 * 16 + 40] ^= 1
    with pytest.raises(MachineError, match="MATMUL stream checksum") as caught:
        made.execute(command, step(1))
    assert caught.value.code == ErrorCode.STREAM
