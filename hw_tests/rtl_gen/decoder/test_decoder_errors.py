# SPDX-License-Identifier: Apache-2.0
"""Which command a decoder's error names: that of the wrong stream, never one before or behind
it.
"""

from __future__ import annotations

from random import Random

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.decoder.decoder_bench import run
from hw_tests.rtl_gen.decoder.decoder_load import QUAD, Load
from hw_tests.rtl_gen.decoder.stream_packer import reseal
from hw_tests.seeds import salted


def raw() -> Load:
    return Load(QUAD, Random(salted(1))).add_raw(slices=1, tiles=1)


def dictionary() -> Load:
    return Load(QUAD, Random(salted(2))).add_dictionary(
        slices=1, tiles=1, chunk=2, widths=[1, 2, 3, 5], entries=20
    )


def rice() -> Load:
    return Load(QUAD, Random(salted(3))).add_rice(slices=1, tiles=1, widths=[0, 1, 1, 1])


def flipped(load: Load, bit: int) -> Load:
    """One bit, counted from the end, and nothing that tells but the checksum."""
    stream = load.stream()
    number = int.from_bytes(stream, "little") ^ 1 << 8 * len(stream) - 1 - bit
    return load.spoiled(number.to_bytes(len(stream), "little"))


WRONG = {
    "preamble": lambda: raw().resealed(reserved=1),
    "checksum": lambda: flipped(raw(), 3),
    "checksum_dictionary": lambda: (
        dictionary()
        .resealed(weights=1)
        .spoiled(reseal(dictionary().stream(), weights=1)[:-1] + b"\x99")
    ),
    "index": lambda: dictionary().resealed(entries=19),
    "run": lambda: rice().spoiled(reseal(rice().stream()[:16] + bytes(8) + rice().stream()[24:])),
    "underrun": lambda: rice().spoiled(reseal(rice().stream()[:-16])),
    "short_raw": lambda: raw().spoiled(reseal(raw().stream()[:-16])),
    "short_header": lambda: raw().spoiled(reseal(raw().stream()[:16])),
    "short_table": lambda: dictionary().spoiled(reseal(dictionary().stream()[:32])),
    "short_primer": lambda: rice().spoiled(reseal(rice().stream()[:64])),
    "long": lambda: raw().spoiled(reseal(raw().stream() + bytes(16))),
    "nothing": lambda: raw().spoiled(b""),
}
"""One stream each, wrong in one way."""


def before(load: Load, kind: str) -> Load:
    """What the decoder is still busy with, or has just written, when the wrong stream comes."""
    if kind == "cache":
        load.add_cache(rows=3, segment_beats=1, column_beats=0)
        return load.add_cache(rows=0, segment_beats=1, column_beats=0)
    if kind == "dictionary":
        return load.add_load(dictionary())
    return load.add_load(rice()) if kind == "rice" else load


def behind(load: Load, kind: str) -> Load:
    """What would come next, as early as it can."""
    if kind == "cache":
        return load.add_cache(rows=2, segment_beats=1, column_beats=0)
    if kind == "nothing":
        load.jobs.append({"slices": 1, "tiles": 1, "beats": 0})
        return load
    return load.add_load(raw())


@pytest.mark.parametrize(
    "wrong",
    [
        *sorted(WRONG)[::3],
        *(slow(name) for name in sorted(WRONG) if name not in sorted(WRONG)[::3]),
    ],
)
def test_the_wrong_stream_is_named(wrong: str) -> None:
    loads, places = [], []
    for first in ("none", "cache", "dictionary", "rice"):
        for last in ("stream", "nothing", "cache"):
            stalls = {"producer": 0.4, "consumer": 0.5} if len(loads) % 2 else {}
            load = before(Load(QUAD, Random(salted(9)), **stalls), first)
            places.append(len(load.jobs))
            loads.append(behind(load.add_load(WRONG[wrong]()), last))
    for number, (outcome, place) in enumerate(zip(run(loads, limit=2000), places, strict=True)):
        assert (outcome.errors, outcome.blamed) == (1, place), number
