# SPDX-License-Identifier: Apache-2.0
"""Operand loader: words of every step and their exponents in order and in time, against the lanes'
distances; steps per cycle.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque

import pytest

from hw_tests.marks import slow
from hw_tests.rtl_gen.fields import nested
from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.array.issue import Issue
from rtl_gen.array.operand_loader import OperandLoader
from rtl_gen.interfaces.lane import WordKind
from rtl_gen.interfaces.schedule import tile_op_layout
from rtl_gen.lane.latency import LaneLatency

_SMALL = CONFIGURATIONS["small"]
_LANES_8 = dataclasses.replace(_SMALL, lanes=8, width=64, rows=4)
_ONE_LANE = dataclasses.replace(_SMALL, lanes=1, rows=8)
_FULL = CONFIGURATIONS["zcu102-paper"]
_READ_LATENCY = 10
_START = Issue.START_TO_SWAP


def _data(config: AcceleratorConfig, address: int) -> int:
    return int.from_bytes(random.Random(salted(address)).randbytes(config.width), "little")


def _exponent(address: int) -> int:
    return address % 8


def _words(config: AcceleratorConfig, step: dict[str, int]) -> list[tuple[int, int, int, int]]:
    """Address, lane, kind and group of every word of a step."""
    if step.get("fetch"):
        return []
    lanes, source, stride = range(step["words"]), step["base"], step["stride"]
    group, across = step["group"], step.get("head_stride", 0)
    words = []
    if step.get("totals"):
        base = step["total_source"]
        words += [(base + lane * stride, lane, WordKind.TOTAL.value, group) for lane in lanes]
    for lane in lanes:
        if step.get("wide"):
            for half, kind in ((0, WordKind.LOW), (1, WordKind.HIGH)):
                words.append((source + lane * stride + half, lane, kind.value, group))
        else:
            token, head = divmod(lane, step["heads"])
            address = source + token * stride + head * across
            words.append((address, lane, WordKind.INT8.value, group))
    return words


@dataclasses.dataclass
class _Bench:
    """Memory of a fixed latency, an Issue that takes `cycles` per step, and a record of what
    happened when.
    """

    config: AcceleratorConfig
    steps: list[dict[str, int]]
    stalls: bool = False
    scores_at: list[int] = dataclasses.field(default_factory=list)
    seed: int = 3
    transfers: list[int] = dataclasses.field(default_factory=list)
    words: list[tuple[int, tuple]] = dataclasses.field(default_factory=list)
    fetches: list[tuple[int, tuple]] = dataclasses.field(default_factory=list)
    reads: list[int] = dataclasses.field(default_factory=list)
    readers: list[int] = dataclasses.field(default_factory=list)
    waits: int = 0

    def run(self) -> None:
        self.rng = random.Random(salted(self.seed))
        self.dut = OperandLoader(config=self.config, start_to_swap=_START)
        simulate(self.dut, self._run)

    def _chance(self, share: float) -> bool:
        return not self.stalls or self.rng.random() < share

    async def _run(self, ctx) -> None:
        dut, config = self.dut, self.config
        pending, answers = deque(self.steps), deque()
        free_at = 0
        most = max(16, 2 * config.lanes)
        for now in range(20000):
            if len(self.transfers) == len(self.steps) and now > self.transfers[-1] + 40:
                break
            offer = bool(pending) and self._chance(0.5)
            ctx.set(dut.i_op.valid, offer)
            if offer:
                ctx.set(dut.i_op.payload, nested(tile_op_layout(config), pending[0]))
            ready = self._chance(0.6)
            ctx.set(dut.o_read.address.ready, ready)
            answer = bool(answers) and answers[0][0] <= now and self._chance(0.5)
            ctx.set(dut.o_read.data.valid, answer)
            if answer:
                address = answers.popleft()[1]
                ctx.set(dut.o_read.data.payload, _data(config, address))
                ctx.set(dut.o_read.exponent, _exponent(address))
            ctx.set(dut.i_score_done, now in self.scores_at)
            taking = now >= free_at and self._chance(0.5)
            ctx.set(dut.o_op.ready, taking)

            if ctx.get(dut.o_read.address.valid) and ready:
                address = ctx.get(dut.o_read.address.payload)
                self.reads.append(address)
                self.readers.append(ctx.get(dut.o_read.command))
                answers.append((now + _READ_LATENCY, address))
            if ctx.get(dut.o_word.valid):
                word = ctx.get(dut.o_word.payload)
                seen = word.lane, word.kind.value, word.group, word.data, word.exponent
                self.words.append((now, seen))
            assert len(self.reads) - len(self.words) <= most + 1
            if ctx.get(dut.o_fetch.valid):
                fetch = ctx.get(dut.o_fetch.payload)
                self.fetches.append((now, (fetch.bank, fetch.group, fetch.index)))
            self.waits += ctx.get(dut.waiting_probabilities)
            if taking and ctx.get(dut.o_op.valid):
                step = self.steps[len(self.transfers)]
                assert ctx.get(dut.o_op.payload.work.address) == step["address"]
                self.transfers.append(now)
                free_at = now + step["cycles"]
            taken = offer and ctx.get(dut.i_op.ready)
            await ctx.tick()
            if taken:
                pending.popleft()
        else:
            raise AssertionError("steps are left")
        assert not ctx.get(dut.pending) and not answers

    def check(self) -> None:
        """Words and fetches are the steps' own, none before the last swap lets it, none too late
        for its own.
        """
        config, rules = self.config, LaneLatency.of(self.config)
        words, fetches, reads = deque(self.words), deque(self.fetches), deque(self.reads)
        swapped = -(1 << 20)
        fetched_first = 0
        of = [step["command"] for step in self.steps for _ in _words(config, step)]
        assert self.readers == of
        for step, transfer in zip(self.steps, self.transfers, strict=True):
            swap = transfer + _START
            bytes_mask = 0
            for part in range(config.word_beats):
                if step.get("mask", 0) >> part & 1:
                    bytes_mask |= ((1 << 128) - 1) << 128 * part
            for address, *where in _words(config, step):
                cycle, seen = words.popleft()
                assert reads.popleft() == address
                own = step.get("own_exponents", 0)
                exponent = _exponent(address) if own else step.get("exponent", 0)
                assert seen == (*where, _data(config, address) & bytes_mask, exponent), self.seed
                assert swapped + rules.operand_reuse <= cycle <= swap - rules.operand
            if step.get("fetch"):
                run = [fetches.popleft() for _ in range(config.tile_cycles)]
                place = (step["bank"], step["group"])
                assert [seen for _, seen in run] == [(*place, i) for i in range(config.tile_cycles)]
                assert [cycle - run[0][0] for cycle, _ in run] == list(range(config.tile_cycles))
                assert swapped + rules.fetch_reuse <= run[0][0]
                assert run[-1][0] <= swap - rules.fetch
                if step["fetch_first"]:
                    assert run[0][0] > self.scores_at[fetched_first]
                    fetched_first += 1
            swapped = swap
        assert not words and not fetches and not reads

    @property
    def gaps(self) -> list[int]:
        return [
            later - one for one, later in zip(self.transfers[:-1], self.transfers[1:], strict=True)
        ]


def _step(config: AcceleratorConfig, index: int, words: int = 0, **fields: int) -> dict[str, int]:
    step = dict(address=index % 128, group=index % config.groups, bank=index & 1, cycles=0)
    step["command"] = (1 << 24) - 1 - index // 3
    step |= dict(words=words or config.lanes, base=1000 + 97 * index, stride=7, heads=1)
    return step | dict(mask=(1 << config.word_beats) - 1) | fields


def _mixture(config: AcceleratorConfig, rng: random.Random, count: int) -> list[dict[str, int]]:
    steps = []
    for index in range(count):
        lanes = config.lanes
        kind = rng.choice(["plain", "heads", "wide", "totals", "fetch"])
        fields = dict(cycles=rng.choice([0, 3, config.tile_cycles]), stride=rng.choice([0, 1, 19]))
        fields["mask"] = rng.randrange(1, 1 << config.word_beats)
        fields |= dict(own_exponents=rng.randrange(2), exponent=rng.choice([0, 7, 3]))
        words = rng.randint(1, lanes)
        if kind == "heads":
            heads = rng.randint(1, lanes)
            words = heads * rng.randint(1, lanes // heads)
            fields |= dict(heads=heads, head_stride=rng.randint(1, 5))
        elif kind == "fetch":
            fields |= dict(fetch=1, fetch_first=rng.randint(0, 1))
        elif kind != "plain":
            fields |= dict(wide=1, head_stride=9, totals=int(kind == "totals"))
            fields |= dict(total_source=rng.randrange(900))
        steps.append(_step(config, index, words, **fields))
    return steps


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize(
    "config",
    [_SMALL, slow(_LANES_8), _ONE_LANE, slow(_FULL)],
    ids=["small", "lanes8", "one_lane", "full"],
)
def test_words_and_fetches(config: AcceleratorConfig, stalls: bool) -> None:
    seed = 11
    rng = random.Random(salted(seed))
    steps = _mixture(config, rng, 25)
    firsts = sum(step.get("fetch_first", 0) for step in steps)
    scores = sorted(rng.sample(range(20, 900), firsts))
    bench = _Bench(config, steps, stalls=stalls, scores_at=scores, seed=seed)
    bench.run()
    bench.check()


@pytest.mark.parametrize(
    "config", [_SMALL, slow(_LANES_8), slow(_FULL)], ids=["small", "lanes8", "full"]
)
@pytest.mark.parametrize(
    ("fields", "per_lane"),
    [
        (dict(), 1),
        (dict(heads=3, head_stride=2), 1),
        (dict(wide=1), 2),
        (dict(wide=1, totals=1, total_source=3), 3),
    ],
    ids=["plain", "heads", "wide", "totals"],
)
def test_steps_of_words(config: AcceleratorConfig, fields: dict[str, int], per_lane: int) -> None:
    """n transfers in n + OP_OVERHEAD cycles, and hidden behind issues of at least as many."""
    words = config.lanes // fields.get("heads", 1) * fields.get("heads", 1)
    least = per_lane * words + OperandLoader.OP_OVERHEAD
    for cycles in (0, least, least + 5):
        steps = [_step(config, index, words, cycles=cycles, **fields) for index in range(10)]
        bench = _Bench(config, steps)
        bench.run()
        bench.check()
        assert max(bench.gaps[2:]) <= max(least, cycles), (bench.gaps, cycles)


@pytest.mark.parametrize(
    "config", [_SMALL, slow(_LANES_8), slow(_FULL)], ids=["small", "lanes8", "full"]
)
def test_fetches_follow_each_other(config: AcceleratorConfig) -> None:
    """Probability steps of W/R cycles leave no gap; alternating with trimmed key steps costs the
    words' time only.
    """
    cycles = config.tile_cycles
    fields = dict(fetch=1, fetch_first=1, cycles=cycles)
    steps = [_step(config, index, **fields) for index in range(8)]
    bench = _Bench(config, steps, scores_at=list(range(8)))
    bench.run()
    bench.check()
    assert set(bench.gaps) == {cycles} and bench.waits <= 2


def test_probabilities_are_awaited() -> None:
    steps = [_step(_SMALL, 0, fetch=1, fetch_first=1), _step(_SMALL, 0, fetch=1, fetch_first=0)]
    bench = _Bench(_SMALL, steps, scores_at=[200])
    bench.run()
    bench.check()
    assert bench.waits > 150


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_start_to_swap_covers_the_lanes() -> None:
    least = max(LaneLatency.of(_SMALL).operand, LaneLatency.of(_SMALL).fetch)
    with pytest.raises(ValueError, match=f"start_to_swap must be at least {least}, not 1"):
        OperandLoader(config=_SMALL, start_to_swap=1)
