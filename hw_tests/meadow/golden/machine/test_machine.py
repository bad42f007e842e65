# SPDX-License-Identifier: Apache-2.0
"""Every command of the architectural machine but MATMUL and attention, against plain Python on
`meadow.spec.numerics`.
"""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.epilogues import written_word
from hw_tests.noisy_machine import machine, step
from hw_tests.seeds import salted
from meadow.golden.machine.state import MachineError
from meadow.spec import numerics
from meadow.spec.commands import (
    Command,
    Opcode,
    Outputs,
    RowSet,
    Space,
    TrafficClass,
)
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.step import Sequence, Step

CONFIGS = [named_config(name) for name in ("tiny", "small", "zcu102-paper")]
BOTH = Outputs.ARGMAX | Outputs.LOGITS


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
def test_load_strides_rows_and_leaves_the_rest(config: AcceleratorConfig) -> None:
    made = machine(config)
    before, beats = made.activations.copy(), config.word_beats
    fields = dict(destination=9, destination_stride=5, offset=3, row_beats=2 * beats)
    fields |= dict(row_set=RowSet.CHUNK, traffic=TrafficClass.ACTIVATIONS)
    made.execute(Command(Opcode.LOAD, fields), step(2, 1))
    expected, exponents = before.copy(), made.exponents.copy()
    for row in range(3):
        start = 48 + row * 2 * config.width
        data = made.dram[start : start + 2 * config.width]
        expected[9 + 5 * row : 11 + 5 * row] = data.reshape(2, -1)
    assert (made.activations == expected).all()
    for row in range(3):
        exponents[9 + 5 * row : 11 + 5 * row] = 0
    assert (made.exponents == exponents).all()
    assert made.traffic[TrafficClass.ACTIVATIONS] == 3 * 2 * config.width


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.STORE])
def test_no_rows_move_nothing_wherever_they_are(opcode: Opcode) -> None:
    made = machine(CONFIGS[0])
    before = made.dram.copy(), made.activations.copy()
    sizes = dict(row_beats=1) if opcode == Opcode.LOAD else dict(segments=1, segment_beats=1)
    made.execute(Command(opcode, sizes | dict(offset=(1 << 32) - 1, rows=0)), step(1))
    assert (made.dram == before[0]).all() and (made.activations == before[1]).all()
    assert not any(made.traffic.values())


def test_load_fills_norm_parameters() -> None:
    made = machine(CONFIGS[0])
    fields = dict(destination=2, space=Space.NORM, offset=1, row_beats=4, rows=1)
    made.execute(Command(Opcode.LOAD, fields), step(1))
    assert (made.norm_parameters[2:6].reshape(-1) == made.dram[16:80]).all()
    assert not made.norm_parameters[6:].any() and not made.norm_parameters[:2].any()
    assert made.traffic[TrafficClass.WEIGHTS] == 64
    assert (made.exponents == machine(CONFIGS[0]).exponents).all()


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
def test_load_fills_the_activation_table(config: AcceleratorConfig) -> None:
    made = machine(config)
    before, words = made.activation_table.copy(), 4096 // config.width
    fields = dict(space=Space.TABLE, offset=9, row_beats=256, rows=1, traffic=TrafficClass.WEIGHTS)
    made.execute(Command(Opcode.LOAD, fields), step(1))
    assert (made.activation_table.reshape(-1) == made.dram[144 : 144 + 4096]).all()
    assert made.activation_table.shape == before.shape == (words, config.width)
    fields |= dict(destination=words - 1, row_beats=2 * config.word_beats)
    with pytest.raises(MachineError, match=f"LOAD to TABLE must be .*, below word {words}"):
        made.execute(Command(Opcode.LOAD, fields), step(1))


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
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


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
def test_store_of_exponents_puts_each_in_place_of_its_word(config: AcceleratorConfig) -> None:
    made, beats = machine(config), 2 * config.word_beats
    before = made.dram.copy()
    fields = dict(source=20, source_stride=7, offset=5, segments=2, segment_beats=beats)
    fields |= dict(segment_stride=500, row_set=RowSet.CHUNK, exponents=1)
    made.execute(Command(Opcode.STORE, fields), step(3))
    for row in range(3):
        for word in range(4):
            start = (5 + 500 * (word // 2) + row * beats) * 16 + word % 2 * config.width
            before[start : start + config.width] = 0
            before[start] = made.exponents[20 + 7 * row + word]
    assert (made.dram == before).all() and len(np.unique(made.exponents)) == 8


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
    with pytest.raises(MachineError, match="must have row_set CHUNK"):
        made.execute(Command(Opcode.STORE, fields), Step(sequences))


class _Norm:
    """A machine with norm parameters and rows of random numbers, from word 40 on, and what its NORM
    makes of a row.
    """

    PLACE = dict(source=40, source_stride=5, destination=90, destination_stride=3, words=4)

    def __init__(self, config: AcceleratorConfig, rows: int, *, rms: int, seed: int) -> None:
        self.machine, padded = machine(config), 2 * config.width
        self.channels = padded - 5
        random = np.random.default_rng(salted(seed))
        self.parameters = random.integers(-(1 << 15), 1 << 15, (padded, 2)).astype("<i2")
        self.parameters[self.channels :] = 0
        memory = self.machine.norm_parameters.reshape(-1)
        memory[: 4 * padded] = self.parameters.reshape(-1).view(np.uint8)
        self.rows = np.zeros((rows, padded), "<i2")
        self.rows[:, : self.channels] = random.integers(-3000, 3000, (rows, self.channels))
        for row, values in enumerate(self.rows):
            words = values.view(np.uint8).reshape(4, -1)
            self.machine.activations[40 + 5 * row : 44 + 5 * row] = words
        self.fields = dict(mean_multiplier=int(16 / self.channels * 2**16), mean_shift=16)
        self.fields |= dict(epsilon=77, norm_shift=2, offset_shift=3, rms=rms)

    def expected(self, row: int, **output: int) -> list[int]:
        """The normalised row."""
        return numerics.layer_norm_row(
            self.rows[row].tolist(),
            self.parameters[:, 0].tolist(),
            self.parameters[:, 1].tolist(),
            channels=self.channels,
            **{**self.fields, "rms": bool(self.fields["rms"])},
            **output,
        )


def _put_words(words: np.ndarray, exponents: np.ndarray, first: int, row: list[int]) -> None:
    """Make words of a row of 16-bit values, from word `first` on."""
    width = words.shape[1]
    for index, start in enumerate(range(0, len(row), width)):
        values, exponents[first + index] = written_word(row[start : start + width])
        words[first + index] = np.array(values, np.int8).view(np.uint8)


@pytest.mark.parametrize("config", CONFIGS, ids=("tiny", "small", "zcu102-paper"))
@pytest.mark.parametrize("rms", [0, 1])
def test_norm_of_chunk_and_of_head_rows(config: AcceleratorConfig, rms: int) -> None:
    norm = _Norm(config, 6, rms=rms, seed=5)
    made = norm.machine
    fields = norm.fields | norm.PLACE | dict(channels=norm.channels, output_shift=15)
    for row_set, chosen in ((RowSet.CHUNK, range(6)), (RowSet.HEAD, (3, 5))):
        before, exponents = made.activations.copy(), made.exponents.copy()
        made.execute(Command(Opcode.NORM, {**fields, "row_set": row_set}), step(4, 2))
        for index, row in enumerate(chosen):
            _put_words(before, exponents, 90 + 3 * index, norm.expected(row, output_shift=15))
        assert (made.activations == before).all() and (made.exponents == exponents).all()
        assert exponents[90:92].min() >= 3


@pytest.mark.parametrize("rms", [0, 1])
def test_norm_that_replaces_its_source(rms: int) -> None:
    norm = _Norm(CONFIGS[1], 3, rms=rms, seed=8)
    made = norm.machine
    fields = norm.fields | norm.PLACE | dict(channels=norm.channels, row_set=RowSet.CHUNK)
    fields |= dict(residual=1, residual_shift=15, output_shift=10)
    expected, exponents = made.activations.copy(), made.exponents.copy()
    for row in range(3):
        _put_words(expected, exponents, 90 + 3 * row, norm.expected(row, output_shift=10))
        source = slice(40 + 5 * row, 44 + 5 * row)
        residual = norm.expected(row, output_shift=15)
        expected[source] = np.array(residual, "<i2").view(np.uint8).reshape(4, -1)
        exponents[source] = 0
    made.execute(Command(Opcode.NORM, fields), step(2, 1))
    assert (made.activations == expected).all() and (made.exponents == exponents).all()
    assert (exponents[90:92] == 7).all()


def test_the_arg_max_words_have_the_exponent_0() -> None:
    made = machine(CONFIGS[0])
    exponents = made.exponents.copy()
    fields = dict(destination=7, destination_stride=3, row_set=RowSet.HEAD)
    made.execute(Command(Opcode.VECTOR, fields), step(4, 2))
    exponents[[7, 10]] = 0
    assert (made.exponents == exponents).all()


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
    assert made.run_program(10, 100, step(1)) == 3
    assert made.traffic[TrafficClass.COMMANDS] == 192
    made.clear_traffic()
    assert made.run_program(10, 2, step(1)) == 2
    assert made.traffic[TrafficClass.COMMANDS] == 128
    with pytest.raises(ValueError, match="a chunk holds 64 tokens, not 65"):
        made.run_program(10, 2, step(65))
