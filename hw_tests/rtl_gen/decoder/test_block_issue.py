# SPDX-License-Identifier: Apache-2.0
"""Blocks out of a byte window, against slices packed as the contract says."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hw_tests.marks import slow
from hw_tests.seeds import salted
from hw_tests.streams import Source, Stalls, simulate
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.decoder.block_issue import BlockIssue
from rtl_gen.decoder.byte_window import ByteWindow

CONFIG = CONFIGURATIONS["small"]


@dataclass
class Slice:
    """`kind` is rice, chunk1 or chunk2; blocks with the fields of WEIGHT_BLOCK, `content` as bytes,
    and the packed payload.
    """

    kind: str
    widths: list[int]
    fixed: bool = False
    blocks: list[dict] = field(default_factory=list)
    payload: bytes = b""


def packed(kind: str, widths: list[int], count: int, rng: random.Random, fixed=False) -> Slice:
    """`count` blocks with random modes, refills and content."""
    result = Slice(kind, widths, fixed)
    groups_per_step = {"rice": 0.5, "chunk1": 4, "chunk2": 2}[kind]
    groups = int(count * groups_per_step)
    modes = [0 if fixed else rng.randrange(4) for _ in range(groups)]
    words = []
    for start in range(0, groups, 16):
        word = sum(mode << 2 * index for index, mode in enumerate(modes[start : start + 16]))
        words.append(word.to_bytes(4, "little"))
    payload = b"" if fixed else words[0]
    for index in range(count):
        first = int(index * groups_per_step)
        block = {"half": 0, "refill": 0, "mode_word": 0, "widths": [0, 0, 0, 0]}
        content = b""
        if kind == "rice":
            block["half"] = index & 1
            block["refill"] = rng.choice([0, 15, rng.randrange(16), rng.randrange(16)])
            content += rng.randbytes(4 * block["refill"].bit_count())
        begins = int(index * groups_per_step * 32) % (16 * 32) == 0
        if begins and not fixed and first // 16 + 1 < len(words):
            block["mode_word"] = 1
            content += words[first // 16 + 1]
        for packet in range(max(1, int(groups_per_step))):
            width = widths[modes[first + packet]]
            block["widths"][packet] = width
            content += rng.randbytes(4 * width if kind == "rice" else width)
        block["content"] = content
        result.blocks.append(block)
        payload += content
    result.payload = payload + bytes(-len(payload) % 16)
    return result


class Pair(wiring.Component):
    """A window and the issue of its blocks; `skip` bytes are taken between slices."""

    def __init__(self) -> None:
        self.window = ByteWindow()
        self.issue = BlockIssue(config=CONFIG)
        super().__init__({"skip": In(5)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.window, m.submodules.issue = window, issue = self.window, self.issue
        m.d.comb += [
            issue.head.eq(window.head),
            issue.available.eq(window.available),
            issue.arrives.eq(window.arrives),
            issue.word.eq(window.word),
            issue.data.eq(window.data),
            window.take.eq(issue.take | self.skip),
            window.block.eq(issue.issue.valid),
            window.block_bytes.eq(issue.block_bytes),
        ]
        return m


@dataclass
class Outcome:
    """Cycles of each issue after its slice's start; whether the payload ended too early."""

    issues: list[list[int]] = field(default_factory=list)
    underrun: bool = False


def run(slices, *, seed=0, producer=0.0, consumer=0.0, cut=0, limit=6000) -> Outcome:
    """Random stalls of the beats and of the credit; the last `cut` beats are missing."""
    print(f"seed={seed} producer={producer} consumer={consumer}")
    dut, outcome = Pair(), Outcome()
    issue = dut.issue
    rng = random.Random(salted(seed))
    stream = b"".join(part.payload for part in slices)
    beats = [stream[start : start + 16] for start in range(0, len(stream), 16)]
    beats = beats[: len(beats) - cut]

    async def feed(ctx):
        words = [int.from_bytes(beat, "little") for beat in beats]
        await Source(dut.window.i_beat, words, Stalls(producer, seed + 1)).run(ctx)
        ctx.set(issue.exhausted, 1)

    async def bench(ctx):
        cycle = 0
        sent: list[tuple[int, dict]] = []

        async def tick():
            """One cycle; a block is looked at in it."""
            nonlocal cycle
            valid = ctx.get(issue.block.valid)
            assert valid == bool(sent and sent[0][0] == cycle)
            if valid:
                block = sent.pop(0)[1]
                for name in ("half", "refill", "mode_word"):
                    assert ctx.get(issue.block.payload[name]) == block[name], name
                assert [ctx.get(issue.block.payload.widths[i]) for i in range(4)] == block["widths"]
                content = ctx.get(issue.block.payload.data) & ((1 << 8 * len(block["content"])) - 1)
                assert content == int.from_bytes(block["content"], "little")
            await ctx.tick()
            cycle += 1

        # Needs of a half are right two cycles after its block, arbitrary before.
        settled = [-2, -2]
        for part in slices:
            rice = part.kind == "rice"
            while ctx.get(dut.window.available) == 0 and not ctx.get(issue.exhausted):
                await tick()
            ctx.set(issue.rice, rice)
            ctx.set(issue.chunk2, part.kind == "chunk2" or (rice and rng.randrange(2)))
            ctx.set(issue.fixed, part.fixed)
            ctx.set(issue.widths, part.widths)
            ctx.set(issue.blocks, len(part.blocks))
            ctx.set(issue.start, 1)
            start = cycle
            outcome.issues.append([])
            position = 0
            while position < len(part.blocks):
                assert cycle < limit
                need = 0
                for half in range(2):
                    following = [
                        block
                        for block in part.blocks[position : position + 2]
                        if block["half"] == half
                    ]
                    right = rice and following and cycle >= settled[half] + 2
                    need |= (following[0]["refill"] if right else rng.randrange(16)) << 4 * half
                ctx.set(issue.need, need)
                credit = rng.random() >= consumer
                ctx.set(issue.credit, credit)
                if ctx.get(issue.underrun):
                    assert ctx.get(issue.exhausted) and not ctx.get(issue.issue.valid)
                    outcome.underrun = True
                    ctx.set(issue.stop, 1)
                    for _ in range(6):
                        await tick()
                        assert not ctx.get(issue.issue.valid) and not ctx.get(issue.take)
                    return
                assert ctx.get(issue.issue.valid) <= credit
                last = position + 1 == len(part.blocks)
                assert ctx.get(issue.done) == (ctx.get(issue.issue.valid) and last)
                if ctx.get(issue.issue.valid):
                    block = part.blocks[position]
                    assert ctx.get(issue.issue.payload.half) == block["half"]
                    assert ctx.get(issue.block_bytes) == len(block["content"])
                    if rice:
                        assert ctx.get(issue.issue.payload.literal) == (block["widths"][0] == 8)
                    settled[block["half"]] = cycle
                    sent.append((cycle + BlockIssue.latency, block))
                    outcome.issues[-1].append(cycle - start)
                    position += 1
                await tick()
                ctx.set(issue.start, 0)
            ctx.set(dut.skip, -ctx.get(dut.window.offset) % 16)
            assert ctx.get(issue.take) == 0
            await tick()
            ctx.set(dut.skip, 0)
        for _ in range(6):
            assert not ctx.get(issue.take) and not ctx.get(issue.issue.valid)
            await tick()
        assert not sent and ctx.get(dut.window.available) == 0

    simulate(dut, bench, background=[feed])
    return outcome


def mixed(rng: random.Random, count: int) -> list[Slice]:
    """Slices of one word and of several, full and partly filled, with the longest and the shortest
    blocks.
    """
    slices = []
    for _ in range(count):
        kind = rng.choice(["rice", "chunk1", "chunk2"])
        widths = {
            "rice": [0, 1, 2, 3, 4, 5, 6, 8],
            "chunk1": list(range(9)),
            "chunk2": list(range(13)),
        }[kind]
        blocks = 2 * rng.choice([1, 2, 3, 4, 5, 8, 15, 16, 17, 32, 33, 70])
        fixed = kind != "rice" and rng.random() < 0.3
        chosen = rng.choice([[min(widths)] * 4, [max(widths)] * 4, rng.choices(widths, k=4)])
        slices.append(packed(kind, chosen, blocks, rng, fixed))
    return slices


@pytest.mark.parametrize(("producer", "consumer"), [(0, 0), (0.4, 0), (0, 0.5), (0.2, 0.3)])
@pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
def test_slices(seed: int, producer: float, consumer: float) -> None:
    slices = mixed(random.Random(salted(seed)), 10)
    outcome = run(slices, seed=seed, producer=producer, consumer=consumer)
    assert [len(part) for part in outcome.issues] == [len(part.blocks) for part in slices]
    assert not outcome.underrun


NARROW = {"rice": [0, 1, 2, 2], "chunk1": [0, 1, 2, 3], "chunk2": [0, 2, 4, 6]}


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("kind", NARROW)
def test_a_block_per_cycle(kind: str, fixed: bool) -> None:
    """Blocks of at most four words are issued in every cycle, mode words or not."""
    part = packed(kind, NARROW[kind], 96, random.Random(salted(1)), fixed and kind != "rice")
    for block in part.blocks:
        assert kind == "rice" or len(block["content"]) <= 16
    if kind == "rice":  # two refills of a block on average
        part = packed(kind, [0, 1, 0, 1], 96, random.Random(salted(1)))
    (issues,) = run([part]).issues
    assert issues[0] == BlockIssue.start_latency
    assert issues == list(range(issues[0], issues[0] + len(issues)))


@pytest.mark.parametrize("kind", NARROW)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_underrun(kind: str, cut: int) -> None:
    part = packed(kind, [3, 4, 5, 6], 40, random.Random(salted(cut)))
    assert run([part], cut=cut).underrun


def test_no_payload_at_all() -> None:
    part = packed("chunk1", [1, 2, 3, 4], 2, random.Random(salted(1)))
    assert run([part], cut=len(part.payload) // 16).underrun
