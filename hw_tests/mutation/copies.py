# SPDX-License-Identifier: Apache-2.0
"""LOADs and STOREs of all shapes, in a small window and far apart in the largest one, of rows and
of caches.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cosim.library import DramSettings
from hw_tests.mutation.chip import Trial
from hw_tests.mutation.programs import DATA_BEATS, FAR_BEATS, Program, program_trial, some
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Flag, Opcode, Outputs, RowSet, Space, TrafficClass, Unit
from meadow.spec.config import AcceleratorConfig
from meadow.spec.ranges import fixed_rows
from meadow.spec.step import Sequence, Step

__all__ = ["copy_trials", "far_copies", "near_copies", "random_settings", "random_step"]

_NEAR, _FAR = 8, 6
_NEAR_BEATS = 1 << 18
_MOVED_BEATS = 1 << 11
"""Beats that a command moves at most, but for few LOADs."""
_PAIRS = 12


def random_step(
    random: np.random.Generator, config: AcceleratorConfig, bases: list[int], longest: int
) -> Step:
    """Sequences of random length and at most `longest` cached tokens, whose caches begin at
    `bases`.
    """
    count = int(random.integers(1, config.sequences + 1))
    entries, row = [], 0
    for index in range(count):
        tokens = some(random, config.chunk_tokens - row - (count - index - 1))
        position = some(random, min(longest, config.max_context - tokens), 0)
        entries.append(Sequence(bases[index], position, tokens, row))
        row += tokens
    outputs = Outputs(int(random.integers(1, 4)))
    return Step(tuple(entries), outputs, bool(random.integers(2)))


def random_settings(random: np.random.Generator, seed: int) -> DramSettings:
    """A memory without stalls, with the same chance of them on all channels, or one channel much
    slower than the others.
    """
    kind = int(random.integers(4))
    stalls: int | tuple[int, ...] = (0, 60, 140, 0)[kind]
    if kind == 3:
        stalls = tuple(int(stall) for stall in random.permutation([230, 0, 0, 30, 0]))
    return DramSettings(
        latency_cycles=int(random.integers(1, 90)),
        stalls=stalls,  # pyright: ignore[reportArgumentType]
        rate=(0, 1) if random.random() < 0.7 else (int(random.integers(2, 16)), 1),
        seed=salted(seed),
    )


def _rows(
    random: np.random.Generator, config: AcceleratorConfig, step: Step
) -> tuple[dict[str, int], int]:
    """Fields of a row set, and its rows."""
    row_set = RowSet(int(random.integers(3)))
    fixed = some(random, fixed_rows(config))
    fields = {"row_set": int(row_set), "rows": fixed if row_set == RowSet.FIXED else 0}
    return fields, step.row_count(row_set, fixed)


def _load(
    random: np.random.Generator, config: AcceleratorConfig, step: Step, start: int, beats: int
) -> Command:
    """A LOAD of some of `beats` beats from `start` on."""
    rows_fields, rows = _rows(random, config, step)
    words, word = config.activation_words, config.word_beats
    limit = min(words, 4095)
    room = words if random.random() < 0.05 else _MOVED_BEATS // word
    row_words = some(random, min(limit, max(1, room // rows)))
    most = (words - row_words) // max(1, rows - 1)
    stride = min(row_words + some(random, limit, 0), most, 4095)
    reach = max(0, rows - 1) * stride + row_words
    load = {
        "destination": int(random.integers(0, words - reach + 1)),
        "destination_stride": stride,
        "space": Space.ACTIVATION,
        "offset": start + int(random.integers(0, beats - rows * row_words * word + 1)),
        "row_beats": row_words * word,
        "traffic": int(random.integers(3)),
    }
    return Command(
        Opcode.LOAD, load | rows_fields, condition=_condition(random), flags=Flag.HOLD_FETCH
    )


def _condition(random: np.random.Generator) -> Outputs:
    return Outputs(0 if random.random() < 0.8 else int(random.integers(1, 16)))


def _segments(
    random: np.random.Generator, config: AcceleratorConfig, rows: int
) -> tuple[int, int, int, int]:
    """Segments, their beats, and the words and the stride of a row, of a STORE of so many rows."""
    word, words = config.word_beats, config.activation_words
    room = min(4095 * word, words * word // max(1, rows), _MOVED_BEATS // max(1, rows))
    size = some(random, min(4095, max(1, room)))
    if size > word:
        size -= size % word
    elif size & (size - 1):
        size = 1
    segments = some(random, min(4095, max(1, room // size)))
    row_words = -(-segments * size // word)
    most = (words - row_words) // max(1, rows - 1)
    return segments, size, row_words, min(row_words + some(random, 4095, 0), most, 4095)


def _store(
    random: np.random.Generator, config: AcceleratorConfig, step: Step, start: int, beats: int
) -> tuple[Command, list[tuple[int, int]]]:
    """As `_any_store`, but nothing is written twice: nobody says in which order."""
    while True:
        command, places = _any_store(random, config, step, start, beats)
        ordered = sorted(places)
        if all(first + size <= then for (first, size), (then, _) in pairwise(ordered)):
            return command, places


def _any_store(
    random: np.random.Generator, config: AcceleratorConfig, step: Step, start: int, beats: int
) -> tuple[Command, list[tuple[int, int]]]:
    """A STORE into `beats` beats from `start` on, to the cache half of the time it can be, and
    where it writes.
    """
    fields, rows = _rows(random, config, step)
    segments, size, row_words, source_stride = _segments(random, config, rows)
    cache = fields["row_set"] == RowSet.CHUNK and random.random() < 0.7
    bases = [start]
    spans = [(0, rows)]
    if cache:
        bases = [entry.kv_base for entry in step.sequences]
        spans = [(entry.position, entry.tokens) for entry in step.sequences]
    last = max(bases)
    longest = max(position + tokens for position, tokens in spans) * size
    room = start + beats - last - segments * longest
    most = min((1 << 28) - 1, longest + room // segments)
    stride = min(most, longest + some(random, (1 << 28) - 1, 0))
    offset = int(
        random.integers(0, max(1, start + beats - last - (segments - 1) * stride - longest))
    )
    if not cache:
        offset += start
    store = {
        "source": int(random.integers(0, _last_place(config, rows, source_stride, row_words) + 1)),
        "source_stride": source_stride,
        "offset": offset,
        "segments": segments,
        "segment_beats": size,
        "segment_stride": stride,
        "cache": int(cache),
        "traffic": TrafficClass.KV_WRITE if cache else TrafficClass.ACTIVATIONS,
    }
    places = [
        (offset + (base if cache else 0) + j * stride + place * size, count * size)
        for base, (place, count) in zip(bases, spans, strict=True)
        for j in range(segments)
    ]
    return Command(Opcode.STORE, store | fields, condition=_condition(random)), places


def _last_place(config: AcceleratorConfig, rows: int, stride: int, row_words: int) -> int:
    """Highest first word of rows."""
    return config.activation_words - max(0, rows - 1) * stride - row_words


def near_copies(config: AcceleratorConfig, seed: int) -> Program:
    """Everything may be read and written over and over."""
    random = np.random.default_rng(salted(seed))
    size = _NEAR_BEATS - DATA_BEATS
    bases = [DATA_BEATS + int(random.integers(0, 1 << 14)) for _ in range(config.sequences)]
    step = random_step(random, config, bases, 64)
    commands = []
    for _ in range(_PAIRS):
        commands.append(_load(random, config, step, DATA_BEATS, size))
        commands.append(_store(random, config, step, DATA_BEATS, size)[0])
    if random.random() < 0.5:
        place = int(random.integers(len(commands)))
        commands.insert(place, Command(Opcode.FENCE, wait=Unit.STORER))
    return Program(
        name=f"copies {seed}",
        step=step,
        commands=commands,
        beats=_NEAR_BEATS,
        settings=random_settings(random, seed),
        seed=seed,
        dumps=False,
    )


def _somewhere(random: np.random.Generator, room: int) -> int:
    """A place of random length in bits, near a power of two at times."""
    place = int(random.integers(0, 1 << int(random.integers(17, 33))))
    if random.random() < 0.4:
        place = (1 << int(random.integers(17, 33))) - int(random.integers(1, 99))
    return DATA_BEATS + place % (FAR_BEATS - DATA_BEATS - room)


def far_copies(config: AcceleratorConfig, seed: int, base: int) -> Program:
    """Places all over a window of nearly 2^32 beats; every bit of an address is 0 and 1
    somewhere.
    """
    random = np.random.default_rng(salted(100 + seed))
    bases = [_somewhere(random, 1 << 20) for _ in range(config.sequences)]
    step = random_step(random, config, bases, config.max_context)
    commands, content, watched = [], [], []
    for _ in range(_PAIRS):
        load = _load(random, config, step, 0, FAR_BEATS)
        size = step.row_count(RowSet(load.values["row_set"]), load.values["rows"])
        size *= load.values["row_beats"]
        place = _somewhere(random, size)
        content.append((place, random.bytes(16 * size)))
        commands.append(
            Command(
                Opcode.LOAD,
                {**load.values, "offset": place},
                condition=load.condition,
                flags=load.flags,
            )
        )
        low = min(bases) if random.random() < 0.6 else _somewhere(random, 1 << 20)
        store, places = _store(random, config, step, low, FAR_BEATS - low)
        commands.append(store)
        watched += places
    return Program(
        name=f"far copies {seed}",
        step=step,
        commands=commands,
        beats=FAR_BEATS,
        content=content,
        watched=watched,
        settings=DramSettings(latency_cycles=25, stalls=30, seed=salted(seed)),
        base=base,
        seed=seed,
        dumps=False,
    )


def copy_trials(config: AcceleratorConfig) -> list[Trial]:
    """Random programs with random memories; then far ones at different places of the address
    space.
    """
    trials = [program_trial(config, near_copies(config, seed)) for seed in range(_NEAR)]
    bases = (0x2A_AAAA_A000, 0xD5_5555_5000)
    return trials + [
        program_trial(config, far_copies(config, seed, bases[seed % 2])) for seed in range(_FAR)
    ]
