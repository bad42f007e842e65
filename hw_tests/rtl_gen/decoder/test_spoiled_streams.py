# SPDX-License-Identifier: Apache-2.0
"""The decoder refuses streams that are wrong, and works after a reset."""

from __future__ import annotations

from random import Random

import pytest

from hw_tests.rtl_gen.decoder.decoder_bench import run
from hw_tests.rtl_gen.decoder.decoder_load import CODECS, QUAD, Load, load_of
from hw_tests.rtl_gen.decoder.stream_packer import reseal
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS

CONFIGS = {"tiny": CONFIGURATIONS["tiny"], "quad": QUAD}


BAD_PREAMBLES = [
    ("raw", {"codec": 3}),
    ("raw", {"codec": 255}),
    ("raw", {"reserved": 1}),
    ("raw", {"reserved": 1 << 14}),
    ("chunk2", {"codec": 3}),
    ("chunk2", {"chunk": 0}),
    ("chunk2", {"chunk": 3}),
    ("chunk2", {"chunk": 129}),
    ("chunk2", {"width0": 13}),
    ("chunk2", {"width1": 14}),
    ("chunk2", {"width2": 13}),
    ("chunk2", {"width3": 15}),
    ("chunk2", {"entries": 0}),
    ("chunk2", {"entries": 1025}),
    ("chunk2", {"entries": 65535}),
    ("chunk2", {"reserved": 4}),
    ("chunk1", {"entries": 257}),
    ("chunk1", {"entries": 1024}),
    ("rice", {"width0": 7}),
    ("rice", {"width1": 9}),
    ("rice", {"width2": 12}),
    ("rice", {"width3": 15}),
    ("rice", {"fixed": 1}),
    ("rice", {"reserved": 256}),
]


@pytest.mark.slow
def test_bad_preambles() -> None:
    """The checksum is right: it is the preamble that is refused, before anything is written."""
    loads = [
        load_of(codec, CONFIGS["tiny"], 9, slices=1, tiles=1).resealed(**override)
        for codec, override in BAD_PREAMBLES
    ]
    for bad, outcome in zip(BAD_PREAMBLES, run(loads, limit=1000), strict=True):
        assert outcome.errors == 1, bad
        assert outcome.tiles == [] and outcome.headers == [], bad


def test_index_beyond_the_table() -> None:
    """With one entry less, in the same beats, the last index is one too many; the checksum is
    right.
    """
    loads = []
    for chunk in (1, 2):
        load = Load(CONFIGS["tiny"], Random(salted(9)))
        load.add_dictionary(slices=1, tiles=1, chunk=chunk, widths=[1, 2, 3, 5], entries=20)
        loads += [load.resealed(entries=19), load]
    outcomes = run(loads)
    for wrong, right, load in zip(outcomes[::2], outcomes[1::2], loads[1::2], strict=True):
        assert wrong.errors == 1 and wrong.beats == len(load.beats)
        assert right.errors == 0 and right.tiles == load.tiles


def test_run_without_its_codewords() -> None:
    """A zero in the place of the primer's first word: no 8 codewords in 32 bits; the checksum is
    right.
    """
    config = CONFIGS["tiny"]
    load = Load(config, Random(salted(9))).add_rice(slices=1, tiles=1, widths=[0, 1, 1, 1])
    stream = load.stream()
    spoiled = [
        load.spoiled(reseal(stream[: 16 + 16 * sub] + bytes(8) + stream[24 + 16 * sub :]))
        for sub in range(8)
    ]
    for outcome in run(spoiled):
        assert outcome.errors == 1
        assert outcome.tiles == []


def lengths(stream: bytes) -> list[bytes]:
    """A beat too few or too many, half a stream, the preamble alone; with the checksum that is
    right for what there is.
    """
    beats = len(stream) // 16
    cut = [stream[: 16 * count] for count in (1, 2, beats // 2, beats - 1)]
    return [reseal(part) for part in (*cut, stream + bytes(16), stream + bytes([255]) * 320)]


def flips(stream: bytes, random: Random) -> list[bytes]:
    """One flipped bit, in the preamble or anywhere."""
    spoiled = []
    for place in (*random.sample(range(128), 8), *random.sample(range(8 * len(stream)), 16)):
        copy = bytearray(stream)
        copy[place // 8] ^= 1 << place % 8
        spoiled.append(bytes(copy))
    return spoiled


def lost_ends(stream: bytes, random: Random) -> list[bytes]:
    """From some beat on only zeros, or nothing, as after a transfer that was cut."""
    places = [16 * place for place in random.sample(range(1, len(stream) // 16 - 2), 6)]
    zeroed = [stream[:place] + bytes(len(stream) - place) for place in places[:3]]
    return [*zeroed, *(stream[:place] for place in places[3:])]


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_spoiled_streams(codec: str) -> None:
    """Every fault is one error; all beats are dropped behind it, no job is begun, and after a reset
    the decoder works.
    """
    config, random = CONFIGS["quad"], Random(salted(codec))
    load = load_of(codec, config, 21, slices=2, tiles=3)
    follower = load_of("chunk1", config, 32, slices=1, tiles=1)
    stream = load.stream()
    spoiled = [*lengths(stream), *flips(stream, random), *lost_ends(stream, random)]
    trials = [load.spoiled(content).add_load(follower) for content in spoiled]
    for trial in trials[::2]:
        trial.producer, trial.consumer = 0.1, 0.3
    outcomes = run([*trials, load], seed=1, limit=3000)
    for number, (trial, outcome) in enumerate(zip(trials, outcomes, strict=False)):
        assert outcome.errors == 1 and outcome.blamed == 0, number
        assert outcome.beats == len(trial.beats), number
        assert len(outcome.tiles) <= len(load.tiles), number
    assert outcomes[-1].errors == 0 and outcomes[-1].tiles == load.tiles
    assert outcomes[-1].headers == load.headers
