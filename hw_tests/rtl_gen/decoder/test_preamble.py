# SPDX-License-Identifier: Apache-2.0
"""What the decoder refuses to read, against the text of meadow.spec.streams."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.decoder.preamble import PreambleCheck

CONFIG = CONFIGURATIONS["tiny"]


def wrong(fields: dict[str, int], codecs: set[int]) -> bool:
    widths = [fields[f"width{mode}"] for mode in range(4)]
    if fields["reserved"] or fields["codec"] not in codecs:
        return True
    if fields["codec"] == 1:
        if fields["chunk"] not in (1, 2):
            return True
        most = min(CONFIG.dictionary_entries, 256 ** fields["chunk"])
        largest = 8 if fields["chunk"] == 1 else 12
        return not 1 <= fields["entries"] <= most or max(widths) > largest
    if fields["codec"] == 2:
        return bool(fields["fixed"]) or not set(widths) <= {0, 1, 2, 3, 4, 5, 6, 8}
    return False


def drawn(rng: random.Random) -> dict[str, int]:
    """Mostly right preambles with one or no odd field."""
    codec = rng.randrange(3)
    chunk = rng.choice([1, 2])
    widths = {1: range(9 if chunk == 1 else 13), 2: [0, 1, 2, 3, 4, 5, 6, 8]}.get(codec, [0])
    fields = {f"width{mode}": rng.choice(list(widths)) for mode in range(4)}
    fields |= {"codec": codec, "chunk": chunk, "fixed": rng.randrange(2) if codec == 1 else 0}
    fields |= {"entries": rng.choice([1, 200, 255, 256]), "reserved": 0}
    fields |= {"weights": rng.getrandbits(32), "checksum": rng.getrandbits(32)}
    odd = {
        "codec": rng.choice([3, 4, 128, 255]),
        "chunk": rng.choice([0, 3, 128, 129]),
        "entries": rng.choice([0, 256, 257, 1024, 1025, 65535]),
        "reserved": 1 << rng.randrange(15),
        "fixed": 1,
        f"width{rng.randrange(4)}": rng.choice([7, 9, 12, 13, 15]),
    }
    name = rng.choice([None, *odd])
    return fields | ({name: odd[name]} if name else {})


@pytest.mark.parametrize(
    "codecs", [("raw", "dictionary", "rice"), ("raw", "dictionary"), ("raw", "rice"), ("raw",)]
)
def test_refusals(codecs: tuple[str, ...]) -> None:
    rng = random.Random(salted(5))
    numbers = {("raw", "dictionary", "rice").index(codec) for codec in codecs}
    cases = [drawn(rng) for _ in range(800)]
    answers = [wrong(case, numbers) for case in cases]
    assert 200 < sum(answers) < 760
    dut = PreambleCheck(config=replace(CONFIG, codecs=codecs))

    async def bench(ctx):
        for cycle in range(len(cases) + PreambleCheck.latency):
            if cycle >= PreambleCheck.latency:
                place = cycle - PreambleCheck.latency
                assert ctx.get(dut.wrong) == answers[place], cases[place]
            ctx.set(dut.preamble, cases[min(cycle, len(cases) - 1)])
            await ctx.tick()

    simulate(dut, bench)
