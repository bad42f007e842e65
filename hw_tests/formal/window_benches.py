# SPDX-License-Identifier: Apache-2.0
"""What is proven of BeatFront and ByteWindow: every byte of a job, in its place, and none of
another job.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Mux, Signal, Value

from hw_tests.formal.bench import Bench
from meadow.spec.config import BEAT_BYTES
from rtl_gen.decoder.byte_window import ANY_BYTE_BLOCK, RING_BEATS
from rtl_gen.decoder.weight_block import BLOCK_BYTES

__all__ = ["front_bench", "window_bench"]


def _byte(bits: Value, index: Value) -> Value:
    return bits.word_select(index, 8)[0]


def _beat(bits: Value, index: Value) -> Value:
    return bits.word_select(index, 8 * BEAT_BYTES)


def window_bench(window: Any) -> Bench:
    """One marked byte of a ByteWindow, any byte of any beat, from its beat to `head` and `data`.

    Assumed: no more is taken than is there; of a beat that is not at a whole word only
        ANY_BYTE_BLOCK bytes.
    """
    bench = Bench("window")
    probe = bench.add(window)
    m = bench.m
    available, offset = window.available, window.offset
    take = Mux(window.block, window.block_bytes, window.take)
    bench.assume(take <= available)
    push = window.i_beat.valid & window.i_beat.ready
    lane = bench.constant("lane", 4)
    value = bench.constant("value")
    marks = bench.free("marks")
    held = Signal()  # the marked byte is in the window, `beats` beats behind that of the head
    beats = Signal(2)
    left = (offset + take)[4:]  # beats that leave
    gone = (beats < left) | ((beats == left) & (lane < (offset + take)[:4]))
    entering = push & marks & ~held
    there = ((available + offset) >> 4)[:2]
    bench.assume(~entering | (_byte(window.i_beat.payload, lane) == value))
    m.d.sync += [
        held.eq(entering | (held & ~gone)),
        beats.eq(Mux(entering, there, beats) - left),
    ]
    before = Signal(7)  # bytes in front of it
    m.d.comb += before.eq((beats << 4) + lane - offset)
    bench.check("head", ~held | (beats != 0) | (_byte(window.head, lane) == value))
    late_held, late_beats, late_offset = (bench.past(value) for value in (held, beats, offset))
    shown_held, shown = bench.past(late_held), bench.past(bench.past(before))
    words = bench.past(late_offset[:2] == 0)
    in_reach = shown_held & (shown < Mux(words, BLOCK_BYTES, ANY_BYTE_BLOCK))
    bench.check("data", ~in_reach | (_byte(window.data, shown[:6]) == value))
    bench.check("word", window.data[: len(window.word)] == bench.past(window.word))
    bench.check("counted", ~held | (before < available))
    bench.check("bounded", available <= BEAT_BYTES * RING_BEATS)
    bench.check("aligned", (available + offset)[:4] == 0)
    # A full ring holds back beats, one with room for a beat takes it.
    bench.check(
        "ready", window.i_beat.ready == (available + offset <= BEAT_BYTES * (RING_BEATS - 1))
    )

    first, filled, tail = (probe[name] for name in ("first", "held", "tail"))
    ring = Cat(probe[f"ring{index}"] for index in range(RING_BEATS))
    bench.check("inv_available", available + offset == filled << 4)
    bench.check("inv_tail", tail == (first + filled)[:2])
    bench.check("inv_held", ~held | ((beats < filled) & ((beats != 0) | (lane >= offset))))
    bench.check("inv_ring", ~held | (_byte(_beat(ring, (first + beats)[:2]), lane) == value))
    bench.check("inv_offset", probe.every("offset")[-1] == late_offset)
    aligned = _byte(_beat(probe["aligned"], late_beats), lane)
    bench.check("inv_aligned", ~late_held | (aligned == value))
    bench.check("inv_late", ~late_held | (late_beats != 0) | (lane >= late_offset))
    late_shown = (late_beats << 4) + lane - late_offset
    bench.check("inv_shown", ~late_held | (bench.past(before) == late_shown))
    bench.cover("far", in_reach & (shown == BLOCK_BYTES - 1))
    bench.cover("again", held & (bench.past(bench.past(take)) == BLOCK_BYTES))
    return bench


def front_bench(front: Any) -> Bench:
    """Beats of a BeatFront: each passes once, as many per job as it says, none behind a weight
    stream before `release`.

    Assumed: `release` comes only while `exhausted`, `drop` stays.
    """
    bench = Bench("front")
    probe = bench.add(front)
    m = bench.m
    bench.assume(~front.release | front.exhausted)
    bench.assume(front.drop | ~bench.past(front.drop))
    bench.assume(~(front.release & front.drop))
    came = front.i_beat.valid & front.i_beat.ready
    left_it = front.o_beat.valid & front.o_beat.ready
    job = front.i_job.payload
    takes = front.i_job.valid & front.i_job.ready
    weights, first = Signal(), Signal()
    due = Signal(28)  # beats of the job that have not passed
    waiting = Signal()  # all beats of a weight stream have passed, and it is not released
    last = left_it & (due == 1)
    with m.If(left_it):
        m.d.sync += [due.eq(due - 1), first.eq(0)]
    with m.If(last & weights):
        m.d.sync += waiting.eq(1)
    with m.If(front.release):
        m.d.sync += waiting.eq(0)
    with m.If(takes):
        m.d.sync += [weights.eq(~job.cache), due.eq(job.beats), first.eq(1)]
        with m.If(~job.cache & (job.beats == 0)):
            m.d.sync += waiting.eq(1)
    bench.check("once", front.drop | (came == left_it))
    bench.check("same", ~left_it | (front.o_beat.payload == front.i_beat.payload))
    bench.check("of_a_job", ~front.o_beat.valid | (due != 0))
    bench.check("held_back", ~waiting | (~front.o_beat.valid & ~takes))
    bench.check("one_job", ~takes | (due == 0) | (last & ~weights))
    bench.check("exhausted", front.exhausted == waiting)
    bench.check("dropped", ~front.drop | (~front.o_beat.valid & front.i_beat.ready & ~takes))
    bench.check("passes", front.drop | (due == 0) | (front.o_beat.valid == front.i_beat.valid))
    bench.check("next_job", front.drop | waiting | (due != 0) | front.i_job.ready)
    bench.check("checked", front.checked == (left_it & weights))
    marks = Cat(front.checked_first, front.checked_last)
    bench.check("marks", ~front.checked | (marks == Cat(first, due == 1)))
    passing, its_weights = probe["passing"], probe["weights"]
    bench.check("inv_left", (due == 0) | (probe["left"] == due))
    bench.check("inv_passing", passing == (due != 0))
    bench.check("inv_weights", (due == 0) | (its_weights == weights))
    bench.check("inv_first", (due == 0) | (probe["first"] == first))
    bench.check("inv_waiting", ~waiting | (due == 0))
    bench.cover(
        "second_stream", front.release & bench.past(bench.past(front.checked_last & front.checked))
    )
    return bench
