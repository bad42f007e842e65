# SPDX-License-Identifier: Apache-2.0
"""The byte window against a queue of bytes."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.decoder.byte_window import ANY_BYTE_BLOCK, RING_BEATS, ByteWindow
from rtl_gen.decoder.weight_block import BLOCK_BYTES


def drive(choose, beats: int, *, seed: int = 0, producer: float = 0.0, limit: int = 3000):
    """Feeds random beats; choose(rng, available, offset) is what is taken. Cycles until all beats
    are in.
    """
    print(f"seed={seed} producer={producer}")
    dut = ByteWindow()
    rng = random.Random(salted(seed))
    content = rng.randbytes(16 * beats)
    fed, head = 0, 0
    pending = []  # (cycle in which it must be seen, bytes)
    words = []  # the same of `word`
    outcome = {}

    async def bench(ctx):
        nonlocal fed, head
        for cycle in range(limit):
            available, offset = ctx.get(dut.available), ctx.get(dut.offset)
            assert available == fed - head and offset == head % 16
            assert ctx.get(dut.i_beat.ready) == (fed // 16 - head // 16 < RING_BEATS)
            if available:
                start = head - head % 16
                expected = int.from_bytes(content[start : start + 16], "little")
                assert ctx.get(dut.head) == expected
            if pending and pending[0][0] == cycle:
                part = pending.pop(0)[1]
                seen = ctx.get(dut.data) & ((1 << 8 * len(part)) - 1)
                assert seen == int.from_bytes(part, "little")
            if words and words[0][0] == cycle:
                part = words.pop(0)[1]
                seen = ctx.get(dut.word) & ((1 << 8 * len(part)) - 1)
                assert seen == int.from_bytes(part, "little")
            if fed == len(content):
                outcome.setdefault("cycles", cycle)
                if available == 0 and not pending:
                    return
            offered = fed < len(content) and rng.random() >= producer
            ctx.set(dut.i_beat.valid, offered)
            ctx.set(
                dut.i_beat.payload,
                int.from_bytes(content[fed : fed + 16], "little")
                if offered
                else rng.getrandbits(128),
            )
            take = choose(rng, available, offset, fed == len(content))
            block = rng.random() < 0.5
            ctx.set(dut.block, block)
            ctx.set(dut.block_bytes if block else dut.take, take)
            ctx.set(dut.take if block else dut.block_bytes, rng.randrange(BLOCK_BYTES + 1))
            if take:
                part = content[head : head + take]
                pending.append((cycle + ByteWindow.latency, part))
                words.append((cycle + ByteWindow.latency - 1, part[:4]))
            assert ctx.get(dut.arrives) == (offered and ctx.get(dut.i_beat.ready))
            head += take
            fed += 16 if offered and ctx.get(dut.i_beat.ready) else 0
            await ctx.tick()
        raise AssertionError("bytes are left")

    simulate(dut, bench)
    return outcome["cycles"]


def any_bytes(rng, available, offset, _last):
    return rng.randrange(min(available, ANY_BYTE_BLOCK) + 1) if rng.random() < 0.7 else 0


def whole_words(rng, available, offset, _last):
    return 4 * rng.randrange(min(available, BLOCK_BYTES) // 4 + 1) if rng.random() < 0.7 else 0


def longest(rng, available, offset, last):
    """Waits for the longest block, at any word of a beat."""
    if last and available < BLOCK_BYTES:
        return available
    return BLOCK_BYTES if available >= BLOCK_BYTES else 0


def whole_beats(rng, available, offset, _last):
    return 16 if available else 0


CHOICES = {choice.__name__: choice for choice in (any_bytes, whole_words, longest, whole_beats)}


@pytest.mark.parametrize("producer", [0.0, 0.5])
@pytest.mark.parametrize("name", CHOICES)
def test_bytes_in_order(name: str, producer: float) -> None:
    drive(CHOICES[name], 200, seed=len(name), producer=producer)


def test_whole_beats_do_not_wait() -> None:
    assert drive(whole_beats, 200) == 200


@pytest.mark.parametrize("most", [7, 8])
def test_blocks_of_five_words_do_not_wait(most: int) -> None:
    """Blocks of 3 .. `most` words, a beat and a quarter on average, leave room for a beat in nearly
    every cycle.
    """
    blocks = random.Random(salted(most))
    want = [4 * blocks.randrange(3, most + 1)]

    def choose(rng, available, offset, last):
        if available < want[0]:
            return available if last else 0
        want.append(4 * blocks.randrange(3, most + 1))
        return want.pop(0)

    assert drive(choose, 400) <= 400 * 1.03
