# SPDX-License-Identifier: Apache-2.0
"""MATMUL of the architectural machine, and the arg-max behind it, against plain Python on
`meadow.spec.numerics`.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.epilogues import finished, written_word
from hw_tests.noisy_machine import machine, step
from hw_tests.rtl_gen.decoder.stream_packer import pack_dictionary, pack_raw, pack_rice
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
from meadow.spec.layout import pack_fields
from meadow.spec.registers import ErrorCode
from meadow.spec.streams import HEADER_BYTES, HEADER_FIELDS, LITERAL

CONFIGS = [named_config(name) for name in ("tiny", "small", "zcu102-paper")]


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


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
@pytest.mark.parametrize("output", list(MatmulOutput))
@pytest.mark.parametrize("exponent", [0, 7])
def test_matmul_outputs(config: AcceleratorConfig, output: MatmulOutput, exponent: int) -> None:
    """Of words with exponents of their own, and of words that all have one."""
    made, width = machine(config), config.width
    matrix = noise(config, 2, 3)
    epilogue = EPILOGUES[output]
    wide = epilogue.wide
    fields = dict(source=10, source_stride=3, destination=100, destination_stride=5)
    fields |= dict(output=output, row_set=RowSet.CHUNK, channels=2 * width, restart=1)
    # A gate has a word for each half slice.
    repeated = 2 if epilogue.second == SecondOperand.ROTARY else 0
    fields |= dict(operand=200, operand_stride=5, operand_words=repeated, post_shift=15)
    fields |= dict(exponent=exponent)
    command, size = matmul(made, matrix, **fields)
    before, exponents = made.activations.copy(), made.exponents.copy()
    made.execute(command, step(3, 2))
    for row in range(5):
        x = before[10 + 3 * row : 13 + 3 * row].reshape(-1).view(np.int8).astype(int)
        shifts = exponents[10 + 3 * row : 13 + 3 * row].astype(int)
        x <<= np.repeat([exponent] * 3 if exponent else shifts, width)
        words = slice(100 + 5 * row, 100 + 5 * row + 2 * (1 + wide))
        old = before[words].reshape(-1).view("<i2" if wide else np.int8)
        results = []
        for channel in range(matrix.outputs):
            total = int(x @ matrix.weight[channel].astype(int)) + int(matrix.bias[channel])
            multiplier, shift = int(matrix.multiplier[channel]), int(matrix.shift[channel])
            result = numerics.requantise(total, multiplier, shift, epilogue.bits)
            results.append(max(0, result) if epilogue.relu else result)
        operand = before[200 + 5 * row : 200 + 5 * row + (repeated or 4)].reshape(-1).view("<i2")
        expected = finished(
            epilogue.mode,
            results,
            second=(np.resize(operand, len(results)) if epilogue.operand else old).tolist(),
            table=made.activation_table.reshape(-1).view("<i2").tolist(),
            shift=15,
        )
        own = [0] * (2 * (1 + wide))
        if epilogue.exponents:
            pairs = [written_word(expected[s : s + width]) for s in (0, width)]
            expected, own = sum((pair[0] for pair in pairs), []), [pair[1] for pair in pairs]
        before[words].reshape(-1).view(old.dtype)[:] = expected
        exponents[words] = own
    assert (made.activations == before).all() and (made.exponents == exponents).all()
    assert made.traffic[TrafficClass.WEIGHTS] == size
    made.execute(command, step(3, 2))
    assert made.traffic[TrafficClass.WEIGHTS] == 2 * size


def test_minus_128_in_a_stream_of_any_codec_counts_as_minus_127() -> None:
    config = CONFIGS[0]
    weights = bytes([0x80, 0x81, 0x7F, 0x80]) * (config.width**2 // 4)
    record = pack_fields(HEADER_FIELDS, {"bias": 0, "multiplier": 1, "shift": 1}, "header")
    headers = [record.to_bytes(HEADER_BYTES, "little") * config.width]
    table = [bytes([0x80]), bytes([0x81]), bytes([0x7F])]
    made = machine(config)
    made.activations[0] = 1
    fields = dict(slices=1, tiles=1, source=0, destination=1, output=MatmulOutput.LOGITS16)
    fields |= dict(row_set=RowSet.CHUNK, channels=config.width, restart=1, exponent=2)
    for stream in (
        pack_raw([weights], headers),
        pack_dictionary([weights], headers, table=table, widths=[2, 2, 2, 2]),
        pack_rice([weights], headers, widths=[LITERAL] * 4),
    ):
        made.dram[1024 : 1024 + len(stream)] = np.frombuffer(stream, np.uint8)
        made.activations[1:3] = 99
        fields |= dict(offset0=64, beats0=len(stream) // 16)
        made.execute(Command(Opcode.MATMUL, fields), step(1))
        total = (3 * -127 + 127) * config.width // 4 << 2
        found = made.activations[1:3].reshape(-1).view("<i2")
        assert found.tolist() == [numerics.requantise(total, 1, 1, 16)] * config.width


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
    fields |= dict(operand=300, operand_stride=words, operand_words=words)
    command, _ = matmul(made, matrix, **fields)
    made.execute(command, step(3))
    rows = made.activations[100:112].reshape(3, 8 // words, -1)
    assert (rows == rows[:, :1]).all() and len(np.unique(rows)) > 8


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
def test_a_gate_replaces_the_activation_that_it_reads(config: AcceleratorConfig) -> None:
    """Two words of INT16 for each word of the product, which comes to the beginning of the row."""
    made, width = machine(config), config.width
    matrix = noise(config, 3, 1)
    made.activations[7] = made.exponents[7] = 0
    area = dict(destination=20, destination_stride=6, row_set=RowSet.CHUNK, source_stride=1)
    command, _ = matmul(made, matrix, source=0, output=MatmulOutput.TABLE16, **area)
    made.execute(command, step(8))
    activated = made.activations[20:68].reshape(8, -1).view("<i2").astype(int)
    assert not made.exponents[20:68].any() and np.abs(activated).max() > 30000
    area |= dict(operand=20, operand_stride=6, post_shift=8)
    command, _ = matmul(
        made, noise(config, 3, 1, seed=1), source=0, output=MatmulOutput.GATE, **area
    )
    fine, _ = matmul(
        made,
        noise(config, 3, 1, seed=1),
        source=0,
        output=MatmulOutput.LOGITS16,
        **area | dict(destination=100),
    )
    made.execute(fine, step(8))
    up = made.activations[100:148].reshape(8, -1).view("<i2").astype(int)
    made.execute(command, step(8))
    for row in range(8):
        products = [
            numerics.gate(a, b, 8)
            for a, b in zip(activated[row].tolist(), up[row].tolist(), strict=True)
        ]
        for word in range(3):
            values, exponent = written_word(products[word * width : (word + 1) * width])
            assert made.activations[20 + 6 * row + word].view(np.int8).tolist() == values
            assert made.exponents[20 + 6 * row + word] == exponent
        half = activated[row].astype("<i2").view(np.uint8).reshape(6, -1)[3:]
        assert (made.activations[23 + 6 * row : 26 + 6 * row] == half).all()
    assert made.exponents[20:68:6].any()


def test_all_exponents_are_added_in() -> None:
    """One word of each exponent, and one value in it: the largest sum of 2^0 to 2^7."""
    config = CONFIGS[0]
    made = machine(config)
    made.activations[:8], made.exponents[:8] = 0, np.arange(8)
    made.activations[:8, 3] = 127
    matrix = QuantisedLinear(
        weight=np.full((16, 128), 127, np.int8),
        bias=np.full(16, 5, np.int32),
        multiplier=np.full(16, 1 << 15, np.uint16),
        shift=np.full(16, 15 + 8, np.uint8),
    )
    fields = dict(source=0, source_stride=8, destination=50, destination_stride=2)
    fields |= dict(output=MatmulOutput.LOGITS16, row_set=RowSet.CHUNK)
    for exponent, total in ((0, 127 * 127 * 255), (3, 127 * 127 * 64)):
        command, _ = matmul(made, matrix, **fields, exponent=exponent)
        made.execute(command, step(1))
        got = made.activations[50:52].reshape(-1).view("<i2")
        assert got.tolist() == [numerics.requantise(total + 5, 1 << 15, 23, 16)] * 16


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
