# SPDX-License-Identifier: Apache-2.0
"""The rice unpacker against an encoder written from the text of meadow.spec.streams."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache

import pytest

from hw_tests.rtl_gen.decoder.unpacker_bench import UnpackerBench
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.streams import LITERAL, PRIMER_WORDS, RUN_BITS, RUN_WEIGHTS, SUBSTREAMS
from rtl_gen.decoder.rice import RiceUnpacker
from rtl_gen.decoder.substreams import SubStreamPair
from rtl_gen.decoder.weight_block import REFILLS

KS = (0, 1, 2, 3, 4, 5, 6, LITERAL)


@dataclass
class Matrix:
    """Groups of 64 weights with their k, and the sub-streams they make."""

    groups: list[tuple[int, list[int]]] = field(default_factory=list)
    bits: list[str] = field(default_factory=lambda: [""] * SUBSTREAMS)

    def add(self, k: int, weights: list[int]) -> None:
        self.groups.append((k, weights))
        for index, weight in enumerate(weights):
            if k != LITERAL:
                self.bits[index // RUN_WEIGHTS] += "0" * (folded(weight) >> k) + "1"

    def words(self, substream: int) -> list[int]:
        bits = self.bits[substream] + "0" * 1024
        return [int(bits[start : start + 32][::-1], 2) for start in range(0, len(bits) - 31, 32)]


def folded(weight: int) -> int:
    return 2 * weight if weight >= 0 else -2 * weight - 1


def unfolded(z: int) -> int:
    return -(z + 1) // 2 if z & 1 else z // 2


def random_run(k: int, rng: random.Random) -> list[int]:
    """8 weights; their codewords of 8 bits, of exactly RUN_BITS, or anything between, by chance."""
    if k == LITERAL:
        return [unfolded(rng.choice([0, 1, 254, 255, rng.randrange(256)])) for _ in range(8)]
    room = rng.choice([0, RUN_BITS - RUN_WEIGHTS, rng.randrange(RUN_BITS - RUN_WEIGHTS + 1)])
    quotients = [0] * RUN_WEIGHTS
    single = rng.random() < 0.3
    place = rng.randrange(RUN_WEIGHTS)
    for _ in range(room):
        place = place if single else rng.randrange(RUN_WEIGHTS)
        if quotients[place] < 255 >> k:
            quotients[place] += 1
    return [unfolded(quotient << k | rng.randrange(1 << k)) for quotient in quotients]


def random_matrix(rng: random.Random, groups: int, ks: tuple[int, ...]) -> Matrix:
    matrix = Matrix()
    for _ in range(groups):
        k = rng.choice(ks)
        matrix.add(k, [weight for _ in range(SUBSTREAMS) for weight in random_run(k, rng)])
    return matrix


@cache
def _rig() -> tuple[RiceUnpacker, Rig]:
    """One unpacker for all tests: it takes longer to elaborate than to try."""
    dut = RiceUnpacker(config=CONFIGURATIONS["tiny"])
    return dut, Rig(dut)


class Bench(UnpackerBench):
    """Drives primer, issues and blocks cycle by cycle and collects parts and errors."""

    def __init__(self, rng: random.Random, *, gap: float) -> None:
        dut, self._rig = _rig()
        super().__init__(dut)
        self.rng = rng
        self.gap = gap
        self.blocks: dict[int, dict[str, object]] = {}  # by the cycle they are due in

    async def tick(self, ctx) -> None:
        block = self.blocks.pop(self.cycle, None)
        idle = {"refill": self.rng.getrandbits(4), "data": self.rng.getrandbits(416)}
        ctx.set(self.dut.block.valid, block is not None)
        ctx.set(self.dut.block.payload, block or idle)
        await super().tick(ctx)

    async def prime(self, ctx, matrix: Matrix) -> None:
        for substream in range(SUBSTREAMS):
            while self.rng.random() < self.gap:
                await self.tick(ctx)
            content = 0
            for index, word in enumerate(matrix.words(substream)[:PRIMER_WORDS]):
                content |= word << 32 * index
            ctx.set(self.dut.prime.valid, 1)
            ctx.set(self.dut.prime.payload, {"substream": substream, "data": content})
            await self.tick(ctx)
            ctx.set(self.dut.prime.valid, 0)
        await self.tick(ctx)

    async def decode(self, ctx, matrix: Matrix) -> list[int]:
        """Issues all blocks as early as allowed, but for gaps. The cycles of the issues."""
        rng, dut = self.rng, self.dut
        words = [matrix.words(substream) for substream in range(SUBSTREAMS)]
        used, given = [0] * SUBSTREAMS, [PRIMER_WORDS] * SUBSTREAMS
        issues = []
        for k, weights in matrix.groups:
            for half in range(2):
                while rng.random() < self.gap:
                    await self.tick(ctx)
                refill, data, size = 0, 0, 0
                need = ctx.get(dut.need) >> REFILLS * half
                for index in range(REFILLS):
                    substream = REFILLS * half + index
                    due = used[substream] // 32 > given[substream] - PRIMER_WORDS
                    assert need >> index & 1 == due, f"cycle {self.cycle} {substream}"
                    if due:
                        refill |= 1 << index
                        data |= words[substream][given[substream]] << size
                        given[substream] += 1
                        size += 32
                mode_word = rng.randrange(2)
                if mode_word:
                    data |= rng.getrandbits(32) << size
                    size += 32
                for index in range(32):
                    weight = weights[32 * half + index]
                    bits = 8 if k == LITERAL else k
                    data |= (folded(weight) & ((1 << bits) - 1)) << size
                    size += bits
                    if k != LITERAL:
                        used[REFILLS * half + index // 8] += (folded(weight) >> k) + 1
                assert size <= 416
                data |= rng.getrandbits(416 - size) << size if size < 416 else 0
                self.blocks[self.cycle + dut.block_delay] = {
                    "half": half,
                    "refill": refill,
                    "mode_word": mode_word,
                    "widths": [k, *(rng.getrandbits(4) for _ in range(3))],
                    "data": data,
                }
                issues.append(self.cycle)
                ctx.set(dut.issue.valid, 1)
                ctx.set(dut.issue.payload, {"half": half, "literal": k == LITERAL})
                await self.tick(ctx)
                # What `half` and `literal` are without a block must not matter.
                idle = {"half": rng.getrandbits(1), "literal": rng.getrandbits(1)}
                ctx.set(dut.issue.valid, 0)
                ctx.set(dut.issue.payload, idle)
        return issues

    def run(self, program) -> None:
        async def bench(ctx):
            await program(ctx)
            for _ in range(20):
                await self.tick(ctx)

        self._rig.simulate(bench)


def expected_parts(matrix: Matrix, issues: list[int]) -> list[tuple[int, int]]:
    result = []
    for number, cycle in enumerate(issues):
        weights = matrix.groups[number // 2][1][32 * (number & 1) :][:32]
        content = bytes(weight & 0xFF for weight in weights)
        result.append(
            (
                cycle + RiceUnpacker.block_delay + RiceUnpacker.latency,
                int.from_bytes(content, "little"),
            )
        )
    return result


def check(seed: int, gap: float, matrices: list[Matrix], *, full_rate: bool = False) -> None:
    """The matrices one after the other: weights, latency and every refill."""
    print(f"seed={seed} gap={gap}")
    bench = Bench(random.Random(salted(seed)), gap=gap)
    expected: list[tuple[int, int]] = []

    async def program(ctx):
        for matrix in matrices:
            await bench.prime(ctx, matrix)
            issues = await bench.decode(ctx, matrix)
            if full_rate:
                assert issues == list(range(issues[0], issues[0] + len(issues)))
            expected.extend(expected_parts(matrix, issues))
            for _ in range(3):
                await bench.tick(ctx)

    bench.run(program)
    assert bench.parts == expected
    assert bench.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.3, 0.7])
def test_changing_k(gap: float) -> None:
    rng = random.Random(salted(1))
    check(2, gap, [random_matrix(rng, 50, tuple(rng.sample(KS, 4))) for _ in range(2)])


def test_full_rate() -> None:
    """A block per cycle, of each k and of all mixed."""
    rng = random.Random(salted(3))
    matrices = [random_matrix(rng, 12, (k,)) for k in KS]
    check(4, 0.0, [*matrices, random_matrix(rng, 60, KS)], full_rate=True)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_words_are_used_at_once(gap: float) -> None:
    """Runs of exactly RUN_BITS at every place in a word: a refilled word is used by the second
    block after its own.

    At full rate that block is issued 4 cycles later.
    """
    rng = random.Random(salted(5))
    matrices = []
    for lead in range(8, 33):
        matrix = Matrix()
        for group in range(8):
            weights = []
            for _ in range(SUBSTREAMS):
                run = [0] * RUN_WEIGHTS
                run[rng.randrange(8)] = unfolded(lead - 8 if group == 0 else RUN_BITS - RUN_WEIGHTS)
                weights += run
            matrix.add(0, weights)
        matrices.append(matrix)
    check(6, gap, matrices, full_rate=not gap)
    assert RiceUnpacker.block_delay + SubStreamPair.refill_latency == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["long", "empty", "literal"])
def test_long_runs(kind: str) -> None:
    """One bit more than RUN_BITS, or no one at all, somewhere in each sub-stream; good matrices
    between.

    A literal group before the last one makes no difference.
    """
    rng = random.Random(salted(7))
    bench = Bench(rng, gap=0.2)
    expected: list[int] = []

    async def spoil(ctx, substream: int) -> None:
        matrix = Matrix()
        spoiled = rng.randrange(12)
        for _ in range(spoiled):
            matrix.add(0, [weight for _ in range(8) for weight in random_run(0, rng)])
        if kind == "literal":
            spoiled += 1
            matrix.add(LITERAL, [weight for _ in range(8) for weight in random_run(LITERAL, rng)])
        matrix.add(0, [0] * 64)
        matrix.bits[substream] = matrix.bits[substream][:-RUN_WEIGHTS]
        if kind != "empty":
            matrix.bits[substream] += "0" * 22 + "1111" + "000" + "1111" + "1" * 8
        await bench.prime(ctx, matrix)
        issues = await bench.decode(ctx, matrix)
        expected.append(issues[2 * spoiled + substream // REFILLS] + RiceUnpacker.bad_latency)
        for _ in range(12):
            await bench.tick(ctx)

    async def program(ctx):
        for substream in range(SUBSTREAMS):
            await spoil(ctx, substream)
            bench.parts.clear()
            good = random_matrix(rng, 5, KS)
            await bench.prime(ctx, good)
            parts = expected_parts(good, await bench.decode(ctx, good))
            for _ in range(12):
                await bench.tick(ctx)
            assert bench.parts == parts

    bench.run(program)
    assert bench.errors == expected
