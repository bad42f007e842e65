# SPDX-License-Identifier: Apache-2.0
"""Drain: latency, credits before a pass, parameters, and finish before an output pass."""

from __future__ import annotations

import dataclasses

import pytest

from hw_tests.rtl_gen.fields import leaves, nested
from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.epilogue import ResultMode
from rtl_gen.array.drain import Drain
from rtl_gen.interfaces.lane import DrainMode
from rtl_gen.interfaces.result import writer_depth
from rtl_gen.interfaces.schedule import drain_pass_layout
from rtl_gen.lane.latency import LaneLatency

_CONFIG = CONFIGURATIONS["small"]


@dataclasses.dataclass
class _Seen:
    """Cycles of transfers at i_pass; (cycle, fields) of o_drain and o_context; cycles of o_finish
    and o_score_done.
    """

    starts: list = dataclasses.field(default_factory=list)
    drains: list = dataclasses.field(default_factory=list)
    contexts: list = dataclasses.field(default_factory=list)
    finishes: list = dataclasses.field(default_factory=list)
    scored: list = dataclasses.field(default_factory=list)
    freed: list = dataclasses.field(default_factory=list)


def _play(passes: list[dict], retired: set[int], cycles: int, config=_CONFIG) -> _Seen:
    """The parameter buffer answers each position with the position as shift."""
    dut = Drain(config=config)
    seen = _Seen()

    async def bench(ctx) -> None:
        queue = list(passes)
        answers = [0] * Drain.ACTIVE_TO_DRAIN
        for now in range(cycles):
            ctx.set(dut.i_result_retired, now in retired)
            answers.append(ctx.get(dut.o_parameters.place.position))
            for row in range(config.rows):
                ctx.set(
                    dut.o_parameters.parameters[row],
                    {"shift": answers[-Drain.ACTIVE_TO_DRAIN], "bias": 5},
                )
            ctx.set(dut.i_pass.valid, bool(queue))
            if queue:
                ctx.set(dut.i_pass.payload, nested(drain_pass_layout(config), queue[0]))
            if ctx.get(dut.o_drain.valid):
                fields = leaves(ctx.get(dut.o_drain.payload))
                fields["parameters"] = [tuple(leaves(row).values()) for row in fields["parameters"]]
                seen.drains.append((now, fields))
            if ctx.get(dut.o_context.valid):
                seen.contexts.append((now, leaves(ctx.get(dut.o_context.payload))))
            for pulse, cycles_seen in (
                (dut.o_score_done, seen.scored),
                (dut.o_parameter_free, seen.freed),
            ):
                if ctx.get(pulse):
                    cycles_seen.append(now)
            if ctx.get(dut.o_finish.valid):
                seen.finishes.append(now)
            taken = bool(queue) and ctx.get(dut.i_pass.ready)
            await ctx.tick()
            if taken:
                queue.pop(0)
                seen.starts.append(now)

    simulate(dut, bench)
    return seen


def _shifts(seen: _Seen) -> set[int]:
    return {shift for _, fields in seen.drains for _, _, shift in fields["parameters"]}


def test_passes_follow_each_other_until_credits_end() -> None:
    words = 2 * _CONFIG.lanes
    whole = writer_depth(_CONFIG) // words
    passes = [dict(mode=DrainMode.INT16, credits=words, last=1)] * (whole + 1)
    step = _CONFIG.tile_cycles
    late = 2 * whole * step
    seen = _play(passes, set(range(late, late + words)), late + 60)
    assert seen.starts == [step * index for index in range(whole)] + [late + words]
    assert [(now, fields["parameters"][0][2]) for now, fields in seen.drains] == [
        (start + Drain.START_TO_DRAIN + position, position)
        for start in seen.starts
        for position in range(step)
    ]
    assert not seen.finishes


@pytest.mark.parametrize("mode", [DrainMode.OUTPUT, DrainMode.OUTPUT16])
def test_output_passes_wait_for_their_finish(mode: DrainMode) -> None:
    latency = LaneLatency.of(_CONFIG)
    words = 2 if mode == DrainMode.OUTPUT16 else 1
    first = dict(mode=mode, start=1, credits=4 * words, shift=9)
    seen = _play([first, {**first, "start": 0}, first], set(), 300)
    ready = [start + Drain.START_TO_DRAIN for start in seen.starts]
    assert ready[0] == seen.finishes[0] + latency.finish
    assert ready[1] == ready[0] + _CONFIG.tile_cycles
    assert ready[2] == seen.finishes[1] + latency.finish
    assert seen.finishes[1] >= ready[0] + latency.finish_reuse
    assert _shifts(seen) == {9}
    assert len(seen.contexts) == 3 * words


def test_score_passes_take_no_credits() -> None:
    passes = [dict(mode=DrainMode.SCORE, multiplier=5, shift=7)] * 12
    seen = _play(passes, set(), 12 * _CONFIG.tile_cycles + 20)
    assert seen.starts == [_CONFIG.tile_cycles * index for index in range(12)]
    assert _shifts(seen) == {7}
    assert len(seen.scored) == 12 and not seen.contexts and not seen.freed


def test_stored_scores_need_neither_parameters_nor_a_pause() -> None:
    """SCORE16: the pass's multiplier and shift, bias 0, two words; a pause only between SCORE
    passes.
    """
    config = dataclasses.replace(_CONFIG, lanes=1, rows=16)
    assert LaneLatency.of(config).score_revisit > 1
    base = dict(multiplier=5, shift=7, limit=-3, causal=1, heads=1, base=90, lanes=1)
    passes = [dict(base, mode=DrainMode.SCORE16, credits=2, last=1)] * 3
    seen = _play(passes, set(), 60, config)
    step = config.tile_cycles
    assert seen.starts == [step * index for index in range(3)]
    for index, (_, fields) in enumerate(seen.drains):
        emit = int(index % step in (step // 2 - 1, step - 1))
        want = dict(emit=emit, limit=-3, causal=1, heads=1, parameters=[(0, 5, 7)] * config.rows)
        assert fields == {**fields, **want}
    assert [context["base"] for _, context in seen.contexts] == [90, 91] * 3
    assert not seen.scored and not seen.freed
    scores = _play([dict(base, mode=DrainMode.SCORE)] * 3, set(), 60, config)
    assert scores.starts[1] - scores.starts[0] > step


@pytest.mark.parametrize("second", [0, 1])
@pytest.mark.parametrize("mode", [DrainMode.INT16, DrainMode.RELU16])
@pytest.mark.parametrize("result", list(ResultMode))
def test_sixteen_bit_words_are_neighbours_or_halves(
    result: ResultMode, mode: DrainMode, second: int
) -> None:
    base = dict(base=500, stride=6, heads=2, head_stride=3, operand=70, operand_stride=4, row=9)
    base |= dict(post_shift=11, mask=3, lanes=4, restart=1)
    half = _CONFIG.width // 2
    fields = dict(base, mode=mode, result=result, operand_second=second, credits=8)
    fields |= dict(channel=64, remaining=half + 3, last=1)
    seen = _play([fields], set(), 60)
    halves = result in (ResultMode.TABLE, ResultMode.ROTATE8, ResultMode.GATE, ResultMode.WORD)
    first = dict(base, half=0, channel=64, elements=half)
    other = dict(base, half=int(halves), channel=64 + half, elements=3, restart=0)
    other |= dict(base=500 if halves else 501, operand=70 + second)
    for (_, context), want in zip(seen.contexts, (first, other), strict=True):
        assert context == {**context, **want, "result": result}
    assert len(seen.freed) == 1
    emitted = [now for now, fields in seen.drains if fields["emit"]]
    given = [now for now, _ in seen.contexts]
    assert given == [now - Drain.ACTIVE_TO_DRAIN + 1 for now in emitted]
