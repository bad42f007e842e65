# SPDX-License-Identifier: Apache-2.0
"""Modes of the blocks of a slice, and which blocks bring a mode word, against a list."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.decoder.mode_words import ModeWords

GROUPS = {"rice": 0.5, "chunk1": 4, "chunk2": 2}
"""Groups of a block."""


def run(kind: str, counts: list[int], *, seed: int, stall: float, delay: int, fixed: bool) -> int:
    """Slices of `counts` blocks; a word arrives `delay` cycles after the block that asks for it was
    taken. Cycles.
    """
    print(f"seed={seed}")
    dut = ModeWords(config=CONFIGURATIONS["small"])
    rng = random.Random(salted(seed))
    total = 0

    async def bench(ctx):
        nonlocal total
        ctx.set(dut.rice, kind == "rice")
        ctx.set(dut.chunk2, kind == "chunk2")
        ctx.set(dut.fixed, fixed)
        for count in counts:
            groups = int(count * GROUPS[kind])
            words = [rng.getrandbits(32) for _ in range(-(-groups // 16))]
            modes = [words[i // 16] >> 2 * (i % 16) & 3 for i in range(groups)]
            ctx.set(dut.blocks, count)
            ctx.set(dut.first, words[0])
            ctx.set(dut.open, 1)
            await ctx.tick()
            ctx.set(dut.open, 0)
            following = words[1:]
            arrivals: list[tuple[int, int]] = []
            block = 0
            while block < count:
                total += 1
                arrives = bool(arrivals and arrivals[0][0] == total)
                ctx.set(dut.word.valid, arrives)
                ctx.set(dut.word.payload, arrivals.pop(0)[1] if arrives else rng.getrandbits(32))
                taken = ctx.get(dut.valid) and rng.random() >= stall
                ctx.set(dut.next, taken)
                if taken:
                    first = int(block * GROUPS[kind])
                    for index in range(max(1, int(GROUPS[kind]))):
                        expected = 0 if fixed else modes[first + index]
                        assert ctx.get(dut.modes) >> 2 * index & 3 == expected
                    assert ctx.get(dut.half) == (kind == "rice" and block & 1)
                    assert ctx.get(dut.last) == (block + 1 == count)
                    begins = block * GROUPS[kind] % 16 == 0
                    due = begins and first // 16 + 1 < len(words) and not fixed
                    assert ctx.get(dut.due) == due
                    if due:
                        arrivals.append((total + delay, following.pop(0)))
                    block += 1
                await ctx.tick()
            assert not ctx.get(dut.valid) and not arrivals
            ctx.set(dut.next, 0)
            ctx.set(dut.word.valid, 0)

    simulate(dut, bench)
    return total


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(("stall", "delay"), [(0.0, 3), (0.4, 3), (0.0, 9)])
@pytest.mark.parametrize("kind", GROUPS)
def test_slices(kind: str, stall: float, delay: int, fixed: bool) -> None:
    counts = [2, 4, 8, 6, 32, 34, 64, 70, 2, 130]
    cycles = run(kind, counts, seed=delay, stall=stall, delay=delay, fixed=fixed and kind != "rice")
    if delay == 3 and not stall:
        assert cycles == sum(counts)
