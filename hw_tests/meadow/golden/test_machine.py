# SPDX-License-Identifier: Apache-2.0
"""Every command of the architectural machine against plain Python on `meadow.spec.numerics`."""

from __future__ import annotations

import numpy as np
import pytest

from meadow.compiler.packing import pack_matrix
from meadow.golden.machine import Machine
from meadow.golden.machine_state import MachineError
from meadow.golden.quantised import QuantisedLinear
from meadow.spec import numerics
from meadow.spec.commands import (
    Command,
    MatmulOutput,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
    VectorFunction,
)
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Sequence, Step

CONFIGS = [named_config(name) for name in ("tiny", "small", "zcu102")]
BOTH = Outputs.ARGMAX | Outputs.LOGITS


def machine(config: AcceleratorConfig, dram_bytes: int = 1 << 16) -> Machine:
    """A machine whose memories are full of noise, so that a stray write shows."""
    random = np.random.default_rng(7)
    made = Machine(config, random.integers(0, 256, dram_bytes, np.uint8))
    made.activations[:] = random.integers(0, 256, made.activations.shape, np.uint8)
    return made


def step(*tokens: int, position: int = 0, **more: object) -> Step:
    """A step of sequences with so many tokens, all at one position, kv_base 1000 beats apart."""
    rows = np.cumsum([0, *tokens])
    return Step(
        tuple(
            Sequence(1000 * index, position, count, int(rows[index]))
            for index, count in enumerate(tokens)
        ),
        **more,
    )


def noise(config: AcceleratorConfig, slices: int, tiles: int, seed: int = 0) -> QuantisedLinear:
    random = np.random.default_rng(seed)
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
def test_load_strides_rows_and_leaves_the_rest(config: AcceleratorConfig) -> None:
    made = machine(config)
    before, beats = made.activations.copy(), config.word_beats
    fields = dict(destination=9, destination_stride=5, offset=3, row_beats=2 * beats)
    fields |= dict(row_set=RowSet.CHUNK, traffic=TrafficClass.ACTIVATIONS)
    made.execute(Command(Opcode.LOAD, fields), step(2, 1))
    expected = before.copy()
    for row in range(3):
        start = 48 + row * 2 * config.width
        data = made.dram[start : start + 2 * config.width]
        expected[9 + 5 * row : 11 + 5 * row] = data.reshape(2, -1)
    assert (made.activations == expected).all()
    assert made.traffic[TrafficClass.ACTIVATIONS] == 3 * 2 * config.width


def test_load_fills_norm_parameters() -> None:
    made = machine(CONFIGS[0])
    fields = dict(destination=2, space=Space.NORM, offset=1, row_beats=4, rows=1)
    made.execute(Command(Opcode.LOAD, fields), step(1))
    assert (made.norm_parameters[2:6].reshape(-1) == made.dram[16:80]).all()
    assert not made.norm_parameters[6:].any() and not made.norm_parameters[:2].any()
    assert made.traffic[TrafficClass.WEIGHTS] == 64


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102"))
def test_store_of_segments_smaller_and_larger_than_a_word(config: AcceleratorConfig) -> None:
    for beats, segments in ((1, 3), (config.word_beats, 2), (3 * config.word_beats, 2)):
        made = machine(config)
        before, size = made.dram.copy(), beats * 16
        fields = dict(source=20, source_stride=7, offset=5, segments=segments)
        fields |= dict(segment_beats=beats, segment_stride=500, row_set=RowSet.CHUNK)
        fields |= dict(traffic=TrafficClass.ACTIVATIONS)
        made.execute(Command(Opcode.STORE, fields), step(3))
        for row in range(3):
            data = made.activations[20 + 7 * row : 27 + 7 * row].reshape(-1)
            for segment in range(segments):
                start = (5 + 500 * segment + row * beats) * 16
                before[start : start + size] = data[segment * size : (segment + 1) * size]
        assert (made.dram == before).all()
        assert made.traffic[TrafficClass.ACTIVATIONS] == 3 * segments * size


def test_store_to_the_cache_goes_to_every_sequence_at_its_position() -> None:
    made = machine(CONFIGS[1], 1 << 17)
    before = made.dram.copy()
    fields = dict(source=0, source_stride=4, offset=10, segments=2, segment_beats=1)
    fields |= dict(segment_stride=100, row_set=RowSet.CHUNK, cache=1, traffic=TrafficClass.KV_WRITE)
    sequences = (Sequence(1000, 6, 2, 0), Sequence(3000, 0, 3, 2))
    made.execute(Command(Opcode.STORE, fields), Step(sequences))
    for base, position, first, tokens in ((1000, 6, 0, 2), (3000, 0, 2, 3)):
        for token in range(tokens):
            for segment in range(2):
                start = 16 * (base + 10 + 100 * segment + position + token)
                data = made.activations[4 * (first + token)][16 * segment : 16 * segment + 16]
                before[start : start + 16] = data
    assert (made.dram == before).all()
    assert made.traffic[TrafficClass.KV_WRITE] == 5 * 2 * 16
    fields["row_set"] = RowSet.HEAD
    with pytest.raises(MachineError, match="must have row_set CHUNK, not 2"):
        made.execute(Command(Opcode.STORE, fields), Step(sequences))


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102"))
@pytest.mark.parametrize("output", list(MatmulOutput))
def test_matmul_outputs(config: AcceleratorConfig, output: MatmulOutput) -> None:
    made, width = machine(config), config.width
    matrix = noise(config, 2, 3)
    wide = output in (MatmulOutput.RESIDUAL16, MatmulOutput.LOGITS16)
    fields = dict(source=10, source_stride=3, destination=100, destination_stride=5)
    fields |= dict(output=output, row_set=RowSet.CHUNK, channels=2 * width, restart=1)
    command, size = matmul(made, matrix, **fields)
    before = made.activations.copy()
    made.execute(command, step(3, 2))
    for row in range(5):
        x = before[10 + 3 * row : 13 + 3 * row].reshape(-1).view(np.int8).astype(int)
        words = slice(100 + 5 * row, 100 + 5 * row + 2 * (1 + wide))
        old = before[words].reshape(-1).view("<i2" if wide else np.int8)
        expected = []
        for channel in range(matrix.outputs):
            total = int(x @ matrix.weight[channel].astype(int)) + int(matrix.bias[channel])
            multiplier, shift = int(matrix.multiplier[channel]), int(matrix.shift[channel])
            value = numerics.requantise(total, multiplier, shift, 16 if wide else 8)
            if output == MatmulOutput.RELU8:
                value = max(0, value)
            if output == MatmulOutput.RESIDUAL16:
                value = numerics.saturate(value + int(old[channel]), 16)
            expected.append(value)
        before[words].reshape(-1).view(old.dtype)[:] = expected
    assert (made.activations == before).all()
    assert made.traffic[TrafficClass.WEIGHTS] == size
    made.execute(command, step(3, 2))
    assert made.traffic[TrafficClass.WEIGHTS] == 2 * size


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


def scalar_attention(
    query: list[int],
    keys: np.ndarray,
    values: np.ndarray,
    seen: int,
    config: AcceleratorConfig,
    fields: dict[str, int],
) -> list[int]:
    """One row by the text of numerics: blocks in ascending order, an integer running maximum."""
    bits, maximum, total, output = config.probability_bits, None, 0, [0] * len(query)
    for start in range(0, seen, config.width):
        block = range(start, min(start + config.width, seen))
        scores = [
            numerics.requantise(
                sum(q * int(k) for q, k in zip(query, keys[j], strict=True)),
                fields["score_multiplier"],
                fields["score_shift"],
                16,
            )
            for j in block
        ]
        new = numerics.block_maximum(max(scores))
        new = new if maximum is None else max(maximum, new)
        delta = 0 if maximum is None else min(new - maximum, numerics.RESCALE_LIMIT)
        weights = [numerics.probability(z, new, bits) for z in scores]
        total = numerics.rounding_shift(total, delta) + sum(weights)
        output = [
            numerics.rounding_shift(o, delta)
            + sum(p * int(values[j][i]) for p, j in zip(weights, block, strict=True))
            for i, o in enumerate(output)
        ]
        maximum = new
    scale = numerics.output_scale(total, fields["output_multiplier"], fields["output_shift"])
    return [numerics.requantise(o, *scale, 8) for o in output]


@pytest.mark.parametrize(
    ("config", "head_dim", "column"),
    [
        (CONFIGS[0], 16, 0),
        (CONFIGS[0], 64, 0),
        (CONFIGS[1], 16, 1),
        (CONFIGS[1], 32, 0),
        (CONFIGS[2], 32, 2),
        (CONFIGS[2], 128, 0),
    ],
)
@pytest.mark.parametrize("causal", [1, 0])
def test_attend(config: AcceleratorConfig, head_dim: int, column: int, causal: int) -> None:
    made, size = machine(config, 1 << 18), min(head_dim, config.width)
    blocks = head_dim // size
    fields = dict(query=30, query_stride=blocks + 2, blocks=blocks, segment_beats=size // 16)
    fields |= dict(column_beats=column, key_offset=16, value_offset=3000, block_stride=700)
    fields |= dict(score_multiplier=50000, score_shift=25, causal=causal)
    fields |= dict(output_multiplier=60000, output_shift=14)
    for name in ("activations", "dram"):  # the hardware has no -128
        memory = getattr(made, name)
        memory[memory == 128] = 129
    position = config.width + 3
    sequences = (Sequence(0, position, 4, 0), Sequence(6000, 0, 3, 4))
    expected = made.activations.copy()
    for entry in sequences:
        length = entry.position + entry.tokens
        halves = []
        for offset in (16, 3000):
            starts = [16 * (entry.kv_base + offset + 700 * block) for block in range(blocks)]
            parts = [made.dram[s : s + length * size].reshape(length, size) for s in starts]
            halves.append(np.concatenate(parts, axis=1).view(np.int8))
        for token in range(entry.tokens):
            first = 30 + (blocks + 2) * (entry.first_row + token)
            words = expected[first : first + blocks, 16 * column : 16 * column + size]
            query = words.copy().view(np.int8).reshape(-1).tolist()
            seen = entry.position + token + 1 if causal else length
            result = scalar_attention(query, halves[0], halves[1], seen, config, fields)
            words[:] = np.array(result, np.int8).view(np.uint8).reshape(blocks, size)
    made.execute(Command(Opcode.ATTEND, fields), Step(sequences))
    assert (made.activations == expected).all()
    assert made.traffic[TrafficClass.KV_READ] == 2 * head_dim * (position + 4 + 3)


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102"))
@pytest.mark.parametrize("rms", [0, 1])
def test_norm_of_chunk_and_of_head_rows(config: AcceleratorConfig, rms: int) -> None:
    made, padded = machine(config), 2 * config.width
    channels = padded - 5
    random = np.random.default_rng(5)
    parameters = random.integers(-(1 << 15), 1 << 15, (padded, 2)).astype("<i2")
    parameters[channels:] = 0
    made.norm_parameters.reshape(-1)[: 4 * padded] = parameters.reshape(-1).view(np.uint8)
    rows = np.zeros((6, padded), "<i2")
    rows[:, :channels] = random.integers(-3000, 3000, (6, channels))
    for row in range(6):
        made.activations[40 + 5 * row : 44 + 5 * row] = rows[row].view(np.uint8).reshape(4, -1)
    fields = dict(epsilon=77, mean_multiplier=int(16 / channels * 2**16), mean_shift=16)
    fields |= dict(norm_shift=2, offset_shift=3, output_shift=21, rms=rms)
    for row_set, chosen in ((RowSet.CHUNK, range(6)), (RowSet.HEAD, (3, 5))):
        before = made.activations.copy()
        place = dict(source=40, source_stride=5, destination=90, destination_stride=3, words=4)
        command = Command(
            Opcode.NORM, {**fields, **place, "channels": channels, "row_set": row_set}
        )
        made.execute(command, step(4, 2))
        for index, row in enumerate(chosen):
            expected = numerics.layer_norm_row(
                rows[row].tolist(),
                parameters[:, 0].tolist(),
                parameters[:, 1].tolist(),
                channels=channels,
                **{**fields, "rms": bool(rms)},
            )
            words = np.array(expected, np.int8).view(np.uint8).reshape(2, -1)
            before[90 + 3 * index : 92 + 3 * index] = words
        assert (made.activations == before).all()


def test_condition_decides_on_effect_and_traffic() -> None:
    made = machine(CONFIGS[0])
    before = made.activations.copy()
    fields = dict(offset=0, row_beats=1, row_set=RowSet.CHUNK, traffic=TrafficClass.ACTIVATIONS)
    command = Command(Opcode.LOAD, fields, condition=Outputs.LOGITS)
    made.execute(command, step(1, outputs=Outputs.ARGMAX))
    assert (made.activations == before).all() and not any(made.traffic.values())
    made.execute(command, step(1, outputs=BOTH))
    assert not (made.activations == before).all()


def test_run_stops_at_end_or_length_and_counts_commands() -> None:
    made = machine(CONFIGS[0])
    program = b"".join(Command(code).encode() for code in (Opcode.FENCE, Opcode.FENCE, Opcode.END))
    made.dram[160 : 160 + len(program)] = np.frombuffer(program, np.uint8)
    assert made.run(10, 100, step(1)) == 3
    assert made.traffic[TrafficClass.COMMANDS] == 192
    made.clear_traffic()
    assert made.run(10, 2, step(1)) == 2
    assert made.traffic[TrafficClass.COMMANDS] == 128
    with pytest.raises(ValueError, match="a chunk holds 64 tokens, not 65"):
        made.run(10, 2, step(65))


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
