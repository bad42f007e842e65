# SPDX-License-Identifier: Apache-2.0
"""The reader of jobs alone: window, beat front, weight blocks and slots around it are models."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from hw_tests.rtl_gen.decoder.decoder_load import QUAD
from hw_tests.rtl_gen.decoder.reader_bench import KINDS, Work, check, run
from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.layout import pack_fields
from meadow.spec.streams import LITERAL, PREAMBLE_FIELDS, Codec

CONFIGS = {"quad": QUAD, "small": CONFIGURATIONS["small"]}
STALLS = {"free": {}, "producer": {"producer": 0.5}, "consumer": {"consumer": 0.6}}


def mixed(config: AcceleratorConfig, seed: int) -> Work:
    random = Random(salted(seed))
    work = Work(config, random)
    for _ in range(12):
        sizes = {"slices": random.randrange(1, 4), "tiles": random.randrange(1, 3)}
        kind = random.randrange(5)
        if kind == 0:
            work.add_stream(Codec.RAW, **sizes)
        elif kind == 1:
            work.add_stream(Codec.RICE, **sizes)
        elif kind < 4:
            chunk = kind - 1
            work.add_stream(
                Codec.DICTIONARY, **sizes, chunk=chunk, entries=random.randrange(1, 257)
            )
        else:
            for _ in range(random.randrange(1, 4)):
                rows = random.choice([0, 1, config.port_rows])
                work.add_cache(rows, random.randrange(1, config.word_beats + 1))
    return work.add_stream(Codec.RAW, 1, 1)


@pytest.mark.parametrize("stalls", STALLS)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_jobs_of_every_kind(name: str, stalls: str, seed: int) -> None:
    check(mixed(CONFIGS[name], seed), seed=seed, **STALLS[stalls])


def test_rate() -> None:
    """A beat per cycle; 3 cycles behind a preamble, 1 or 3 more per table beat, 1 for the end of a
    stream.
    """
    raw = Work(QUAD, Random(salted(1))).add_stream(Codec.RAW, 1, 40)
    assert check(raw).cycles == len(raw.beats[0]) + 3 + 1
    cache = Work(QUAD, Random(salted(1)))
    for _ in range(10):
        cache.add_cache(4, 1)
    assert check(cache).cycles == 40
    cycles = []
    for chunk, entries in ((1, 16), (1, 256), (2, 8), (2, 256)):
        work = Work(QUAD, Random(salted(1))).add_stream(Codec.DICTIONARY, 1, 1, chunk, entries, 1)
        cycles.append(check(work).cycles)
    assert cycles[1] - cycles[0] == 15 * 4 and cycles[3] - cycles[2] == 31 * 2


def spoiled(codec: Codec, beats: Sequence[bytes] | None = None, cut: int = 0, more: int = 0):
    """A cache job, a stream whose job has fewer or more beats than it needs, and one behind it."""
    chunk = 2 if codec == Codec.DICTIONARY else 0
    work = Work(QUAD, Random(salted(5))).add_cache(2, 1)
    work.add_stream(codec, 2, 1, chunk, 20 * (chunk == 2))
    content = list(beats or work.beats[1])
    work.beats[1] = content[: len(content) - cut] + [bytes(16)] * more
    work.jobs[1]["beats"] = len(work.beats[1])
    return work.add_stream(Codec.RAW, 1, 1)


@pytest.mark.parametrize("codec", Codec)
def test_length(codec: Codec) -> None:
    """At every cut in what the reader reads itself, and with bytes behind the end: an error,
    nothing after it.
    """
    whole = spoiled(codec)
    lengths = [(cut, 0) for cut in range(1, len(whole.beats[1]) + 1)] + [(0, 1), (0, 3)]
    for cut, more in lengths:
        work = spoiled(codec, cut=cut, more=more)
        if codec != Codec.RAW and cut:
            # What is missing of a payload is BlockIssue's to say.
            left, total, header = len(work.beats[1]), len(work.beats[1]) + cut, QUAD.header_beats
            first, second = (-(-size // 16) for size in work.payloads)
            ends = total - second - header - first, total - second  # of the two headers
            if ends[0] <= left < ends[1] - header or ends[1] <= left:
                continue
        outcome = run(work, consumer=0.3, producer=0.3 * (cut % 2))
        assert outcome.blamed == work.jobs[1]["command"] and outcome.jobs == 1, (cut, more)
        for kind in KINDS:
            seen = outcome.events[kind]
            assert seen == work.events[kind][: len(seen)], (cut, more, kind)


@pytest.mark.parametrize(
    ("codec", "fields"),
    [(Codec.RAW, {"reserved": 1}), (Codec.RAW, {"codec": 3}), (Codec.RICE, {"width1": 7})],
)
def test_wrong_preamble(codec: Codec, fields: dict[str, int]) -> None:
    """Refused before anything of the stream has left; LITERAL widths are right."""
    values = {"codec": codec, **{f"width{mode}": LITERAL for mode in range(4)}}
    right = pack_fields(PREAMBLE_FIELDS, values, "preamble").to_bytes(16, "little")
    wrong = pack_fields(PREAMBLE_FIELDS, values | fields, "preamble").to_bytes(16, "little")
    rest = spoiled(codec).beats[1][1:]
    outcome = run(spoiled(codec, [wrong, *rest]))
    assert outcome.jobs == 1 and outcome.events["header"] == [] == outcome.events["start"]
    assert outcome.blamed == spoiled(codec).jobs[1]["command"]
    assert run(spoiled(codec, [right, *rest])).blamed is None
