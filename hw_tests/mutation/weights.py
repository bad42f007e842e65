# SPDX-License-Identifier: Apache-2.0
"""MATMULs with random streams of every codec, also with streams that break a rule behind a right
checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from hw_tests.mutation.chip import Trial
from hw_tests.mutation.copies import random_settings, random_step
from hw_tests.mutation.programs import DATA_BEATS, Program, program_trial
from hw_tests.rtl_gen.decoder.stream_packer import (
    draw_dictionary,
    draw_header,
    draw_rice,
    pack_dictionary,
    pack_raw,
    pack_rice,
    padded,
    reseal,
)
from hw_tests.seeds import salted
from meadow.spec.commands import MAX_PORTS, Command, Opcode, RowSet
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.layout import pack_fields, unpack_fields
from meadow.spec.step import Step
from meadow.spec.streams import HEADER_FIELDS, LITERAL, PREAMBLE_FIELDS

__all__ = ["broken_streams", "right_streams", "weight_trials"]

_RIGHT, _WRONG = 12, 120
_STREAMS = 10
_ROWS = 8
_ROOM_BEATS = 1 << 12
"""Of a stream."""
_LEAST, _NEXT = b"\x80", b"\x81"
"""-128, which no matrix may have, and -127."""
_RICE_WIDTHS = (*range(7), LITERAL)


def _table(random: Random, entries: int, chunk: int) -> list[bytes]:
    """Different chunks without the weight -128, which no matrix may have."""
    numbers = random.sample(range(255**chunk), k=entries)
    return [
        bytes((number // 255**place % 255 + 129) % 256 for place in range(chunk))
        for number in numbers
    ]


def _fine_header(random: Random, rows: int) -> bytes:
    """A header with small biases, whose results are about as large as sums of some products: every
    bit of a weight shows in one or the other.
    """
    records = b""
    for _ in range(rows):
        values = {
            "bias": random.randrange(-(1 << 10), 1 << 10),
            "multiplier": random.randrange(1 << 14, 1 << 16),
            "shift": random.randrange(14, 26),
        }
        records += pack_fields(HEADER_FIELDS, values, "header").to_bytes(8, "little")
    return padded(records)


def _stream(
    config: AcceleratorConfig,
    random: Random,
    header: Callable[[Random, int], bytes] = draw_header,
) -> tuple[bytes, int, int]:
    """A stream with its slices and tiles; every width and size of a table, long runs and short ones
    come up.
    """
    slices = random.choice([1, 1, 2, 3, 5])
    tiles = random.choice([1, 2, 3, 4, 7, 12])
    size = tiles * config.port_rows * config.width
    headers = [header(random, config.port_rows) for _ in range(slices)]
    kind = random.choice(["rice", "rice", "dictionary", "dictionary", "dictionary", "raw"])
    if kind == "raw":
        weights = [random.randbytes(size).replace(_LEAST, _NEXT) for _ in range(slices)]
        return pack_raw(weights, headers), slices, tiles
    if kind == "rice":
        widths = random.choices(_RICE_WIDTHS, k=4)
        weights = [draw_rice(random, size, widths).replace(_LEAST, _NEXT) for _ in range(slices)]
        return pack_rice(weights, headers, widths=widths, random=random), slices, tiles
    chunk = random.choice([1, 2, 2])
    most = min(255**chunk, config.dictionary_entries)
    widths = [random.randrange(most.bit_length() + 1) for _ in range(4)]
    largest = min(1 << max(widths), most)
    entries = random.choice([largest, random.randrange(1, largest + 1)])
    table, fixed = _table(random, entries, chunk), random.random() < 0.25
    drawn = widths[:1] if fixed else widths
    weights = [draw_dictionary(random, size, table, drawn) for _ in range(slices)]
    stream = pack_dictionary(
        weights, headers, table=table, widths=widths, fixed=fixed, random=random
    )
    return stream, slices, tiles


def _matmul(
    config: AcceleratorConfig, random: Random, slices: int, tiles: int, place: int, beats: int
) -> Command:
    words = config.activation_words
    values = {
        "source": random.randrange(words // 4),
        "source_stride": random.randrange(tiles, tiles + 40),
        "tiles": tiles,
        "slices": slices,
        "destination": words // 2 + random.randrange(words // 8),
        "destination_stride": random.randrange(2 * slices, 2 * slices + 20),
        "output": random.choice([MatmulOutput.INT8, MatmulOutput.RELU, MatmulOutput.RESIDUAL16]),
        "row_set": RowSet.CHUNK,
        "offset0": place,
        "beats0": beats,
    }
    for port in range(config.ports, MAX_PORTS):  # there is no such port
        values |= {f"offset{port}": random.getrandbits(32), f"beats{port}": random.getrandbits(28)}
    return Command(Opcode.MATMUL, values)


def _step(random: np.random.Generator, config: AcceleratorConfig, rows: int) -> Step:
    """A step of at most so many rows."""
    while (step := random_step(random, config, [0] * config.sequences, 64)).rows > rows:
        pass
    return step


def right_streams(config: AcceleratorConfig, seed: int, *, fine: bool = False) -> Program:
    """Streams one behind the other, without a cycle between them if the memory can; `fine`: every
    bit of a weight shows in the results.
    """
    random, numbers = Random(salted(seed)), np.random.default_rng(salted(2000 + seed))
    step = _step(numbers, config, _ROWS)
    commands, content = [], []
    for number in range(_STREAMS):
        data, slices, tiles = _stream(config, random, _fine_header if fine else draw_header)
        place = DATA_BEATS + number * _ROOM_BEATS + random.randrange(600)
        content.append((place, data))
        commands.append(_matmul(config, random, slices, tiles, place, len(data) // BEAT_BYTES))
    return Program(
        name=f"random streams {seed}",
        step=step,
        commands=commands,
        beats=DATA_BEATS + _STREAMS * _ROOM_BEATS,
        content=content,
        settings=random_settings(numbers, seed),
        seed=seed,
    )


def _broken(random: Random, data: bytes) -> bytes:
    """A field of the preamble changed, a bit turned over, beats missing or too many, and the
    checksum put right.
    """
    kind = random.choice(["field", "field", "bit", "bit", "cut", "more"])
    if kind == "field":
        field = random.choice([f for f in PREAMBLE_FIELDS if f.name != "checksum"])
        values = unpack_fields(PREAMBLE_FIELDS, int.from_bytes(data[:BEAT_BYTES], "little"))
        limit = 1 << field.bits
        changed = values[field.name] ^ 1 << random.randrange(field.bits)
        near = (values[field.name] + random.choice([-1, 1])) % limit
        return reseal(data, **{field.name: random.choice([changed, near])})
    if kind == "bit":
        number = int.from_bytes(data, "little")
        number ^= 1 << random.randrange(8 * BEAT_BYTES, 8 * len(data))
        return reseal(number.to_bytes(len(data), "little"))
    if kind == "cut":
        beats = random.randrange(1, len(data) // BEAT_BYTES)
        return reseal(data[: BEAT_BYTES * beats])
    return reseal(data + bytes(BEAT_BYTES * random.randrange(1, 4)))


def broken_streams(config: AcceleratorConfig, seed: int) -> Program:
    """One that may be wrong after a good stream, before one, or alone."""
    random, numbers = Random(salted(10_000 + seed)), np.random.default_rng(salted(3000 + seed))
    step = _step(numbers, config, 2)
    commands, content = [], []
    right = random.choice([(0,), (1,), (0, 2), (0, 2), ()])
    for number in sorted({1, *right}):
        data, slices, tiles = _stream(config, random)
        if number == 1:
            data = _broken(random, data)
        place = DATA_BEATS + number * _ROOM_BEATS
        content.append((place, data))
        commands.append(_matmul(config, random, slices, tiles, place, len(data) // BEAT_BYTES))
    return Program(
        name=f"broken streams {seed}",
        step=step,
        commands=commands,
        beats=DATA_BEATS + 3 * _ROOM_BEATS,
        content=content,
        settings=random_settings(numbers, seed),
        seed=seed,
        may_fail=True,
        fills=False,
        dumps=False,
    )


def weight_trials(config: AcceleratorConfig) -> list[Trial]:
    """Random programs of MATMULs with random memories."""
    trials = [program_trial(config, right_streams(config, seed)) for seed in range(_RIGHT)]
    groups = range(0, _WRONG, 20)
    return trials + [
        program_trial(config, *(broken_streams(config, seed) for seed in range(first, first + 20)))
        for first in groups
    ]
