# SPDX-License-Identifier: Apache-2.0
"""What is proven of BlockIssue with its ByteWindow: the blocks of a slice are those of
meadow.spec.streams, and no others.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from hw_tests.formal.bench import Bench, Probe
from hw_tests.formal.mutation import mutant
from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import LITERAL, MODE_BITS, MODES_PER_WORD, WORD_BYTES
from rtl_gen.decoder.block_issue import KNOWN_BLOCK, BlockIssue
from rtl_gen.decoder.byte_window import RING_BEATS
from rtl_gen.decoder.weight_block import BLOCK_BYTES, REFILLS, WIDTHS

__all__ = ["CODECS", "StatedIssue", "block_bench", "block_count_bench"]

CODECS = {"rice": (1, 0), "chunk1": (0, 0), "chunk2": (0, 1)}
"""Values of the inputs rice and chunk2."""
_BLOCKS_LOG2 = {"rice": 5, "chunk1": 2, "chunk2": 3}
"""Blocks of a mode word: its 16 groups of 64, 8 and 16 weights in blocks of 32."""
_MODES = {"rice": 1, "chunk1": 4, "chunk2": 2}
"""Modes that a block uses; of rice the group has two blocks."""
_WORD = MODE_BITS * MODES_PER_WORD
_MOST = 40
"""Blocks of a slice here at most."""

_PREPARED = """
            margin.eq(following + (self.arrives << 4)),
            reach.eq(Mux(known.o.ready, moves, stays) & following_full.replicate(len(reach))),
        ]
"""
_STATED = """
        ]
        m.d.comb += [
            margin.eq(self.available - block.bytes),
            reach.eq(Cat(full & (margin >= WORD_BYTES * more) for more in range(len(reach)))),
        ]
"""
StatedIssue = mutant(BlockIssue, _PREPARED, _STATED)
"""BlockIssue whose registers of what is there hold what block_count_bench proves that they hold, of
more runs than those of block_bench: `inv_margin`, `inv_reach`.
"""


def _bits_set(bits: Value) -> Value:
    return sum(bits, Const(0, 1))


def _taken(issue: Any) -> Value:
    """Bytes that leave the window."""
    return Mux(issue.issue.valid, issue.block_bytes, issue.take)


def _slices(bench: Bench, issue: Any) -> tuple[Signal, Signal]:
    """Assumes slices one after the other, of a preamble that PreambleCheck lets pass, and a window
    that counts its bytes; in a slice, its blocks so far.
    """
    m = bench.m
    for mode in range(4):
        width = issue.widths[mode]
        most = Mux(issue.chunk2, 12, 8)
        bench.assume(Mux(issue.rice, (width <= 6) | (width == 8), width <= most))
    bench.assume(~(issue.rice & issue.fixed))
    bench.assume_stable(issue.rice, issue.chunk2, issue.fixed, Value.cast(issue.widths))
    bench.assume_stable(issue.blocks)
    bench.assume(issue.blocks != 0)
    bench.assume(issue.stop | ~bench.past(issue.stop))
    active, issued = Signal(), Signal.like(issue.blocks)
    m.d.sync += active.eq((issue.start | (active & ~issue.done)) & ~issue.stop)
    # Between slices the last block comes through: headers are in between.
    recent = active | bench.past(active) | bench.past(bench.past(active))
    bench.assume(~issue.start | ~(recent | issue.stop))
    with m.If(issue.start):
        m.d.sync += issued.eq(0)
    with m.Elif(issue.issue.valid):
        m.d.sync += issued.eq(issued + 1)
    counted = bench.past(issue.available + (issue.arrives << 4) - _taken(issue))
    bench.assume(issue.available <= BEAT_BYTES * RING_BEATS)
    bench.assume(~(active & bench.past(active)) | (issue.available == counted))
    return active, issued


def _known(bench: Bench, issue: Any, probe: Probe, active: Signal, issued: Signal) -> None:
    """Where the blocks of the slice are that have left the mode words, for induction."""
    waiting, full, margin = (probe[name] for name in ("waiting", "full", "margin"))
    left, held, spare = probe["words.left"], probe["known.o__valid"], probe["known.spare_valid"]
    empty = ~held & (left == 0)
    bench.check("inv_quiet", active | (~waiting & ~full & (issue.stop | empty)))
    bench.check("inv_waiting", ~waiting | (~full & empty & (issued == 0)))
    bench.check(
        "inv_left", ~active | waiting | (issued + full + held + spare + left == issue.blocks)
    )
    bench.check("inv_spare", ~spare | held)
    bench.check("inv_some", ~active | waiting | full | ~empty)
    for place, name, behind in (
        (full, "block", ~held & (left == 0)),
        (held, "known.held", ~spare & (left == 0)),
        (spare, "known.spare", left == 0),
    ):
        block = KNOWN_BLOCK(probe[name])
        name = name.rpartition(".")[2]
        bench.check(f"inv_last_{name}", ~(place & active) | (block.last == behind))
        bench.check(
            f"inv_bytes_{name}", ~place | (block.bytes <= BLOCK_BYTES - WORD_BYTES * REFILLS)
        )
    bytes_known = KNOWN_BLOCK(probe["block"]).bytes
    bench.check("inv_margin", ~full | (margin == issue.available - bytes_known))
    for words in range(REFILLS + 1):
        reach = full & (margin >= WORD_BYTES * words)
        bench.check(f"inv_reach{words}", probe["reach"][words] == reach)


def block_count_bench(issue: Any) -> Bench:
    """A BlockIssue issues as many blocks as a slice has, takes no byte that is not there, and says
    when it cannot go on.
    """
    bench = Bench("block_count")
    probe = bench.add(issue)
    m = bench.m
    active, issued = _slices(bench, issue)
    take, valid = _taken(issue), issue.issue.valid
    bench.check("overrun", take <= issue.available)
    bench.check("quiet", active | ((take == 0) & ~issue.underrun & ~issue.done))
    bench.check("issues", ~valid | (active & issue.credit & ~issue.stop))
    bench.check("lost", ~issue.done | (valid & (issued + 1 == issue.blocks)))
    bench.check("invented", ~valid | (issued < issue.blocks))
    bench.check("ends", ~valid | (issued + 1 != issue.blocks) | issue.done)
    opened = Signal()  # the first mode word of the slice is taken
    opens = active & (take != 0) & ~valid
    m.d.sync += opened.eq((opened | opens) & ~issue.start)
    bench.check("opening", ~opens | ((take == 4) & ~issue.fixed & ~opened & (issued == 0)))
    bench.check("opened", ~valid | issue.fixed | opened)
    bench.check("underrun", ~issue.underrun | (issue.exhausted & active & (issue.available < 52)))

    _known(bench, issue, probe, active, issued)
    bench.check("inv_opened", ~active | Mux(probe["waiting"], ~opened, issue.fixed | opened))
    bench.cover("done", issue.done & (issued == 2))
    return bench


def block_bench(issue: Any, codec: str, *, pauses: int, word: int | None = None) -> Bench:
    """Every block of a BlockIssue has its own bytes, mode word, refills and widths, and goes out as
    soon as it may.

    What the window shows is free. There are slices again and again; `pauses`: how often `credit`
    may fall, each time for as long as it likes. Without pauses every block is there in time. With
    `word` only the groups of this mode word are followed to their widths.
    """
    bench = Bench(f"blocks_{codec}_{pauses}")
    bench.add(issue)
    m = bench.m
    rice = codec == "rice"
    bench.assume(Cat(issue.rice, issue.chunk2) == Cat(*(Const(bit, 1) for bit in CODECS[codec])))
    there = issue.available >= BLOCK_BYTES
    bench.assume((issue.blocks <= _MOST) & ~issue.stop)
    bench.assume(there if pauses == 0 else ~bench.past(issue.start) | there)
    bench.assume(issue.data[: len(issue.word)] == bench.past(issue.word))
    active, issued = _slices(bench, issue)
    paused = Signal(2)
    with m.If(~issue.credit & bench.past(issue.credit, init=1)):
        m.d.sync += paused.eq(paused + 1)
    bench.assume(
        issue.credit | (paused < pauses) | ((paused == pauses) & ~bench.past(issue.credit))
    )
    take, valid = _taken(issue), issue.issue.valid

    # The blocks two cycles later, with their bytes; the modes are read once more from those.
    block = issue.block.payload
    late_take, late_need = (bench.past(bench.past(value)) for value in (take, issue.need))
    bench.check("comes", issue.block.valid == bench.past(bench.past(valid)))
    number = Signal(7)
    position = number[: _BLOCKS_LOG2[codec]]
    next_word = (number >> _BLOCKS_LOG2[codec]) + 1
    due = ~issue.fixed & (position == 0) & ((next_word << _BLOCKS_LOG2[codec]) < issue.blocks)
    half = number[0] if rice else Const(0, 1)
    need = late_need.word_select(half, REFILLS) if rice else 0
    refills = _bits_set(block.refill)
    bench.check("refill", ~issue.block.valid | (block.refill == need))
    bench.check("half", ~issue.block.valid | (block.half == half))
    bench.check("mode_word", ~issue.block.valid | (block.mode_word == due))
    # One group, of any number, is followed from its mode word to its width.
    which, mode = bench.constant("which", 8), Signal(MODE_BITS)
    if word is not None:
        bench.assume(which >> 4 == word)
    first_group = number >> 1 if rice else number * _MODES[codec]
    by_mode = Value.cast(issue.widths).word_select(Mux(issue.fixed, 0, mode), 4)
    for packet in range(WIDTHS):
        wanted = by_mode if packet < _MODES[codec] else 0
        followed = issue.block.valid & (issue.fixed | (which == first_group + packet))
        bench.check(f"width{packet}", ~followed | (block.widths[packet] == wanted))
    # In the order in which it is added there, or a solver compares adders for hours.
    first, second, third, fourth = block.widths
    packets = (first + second) + (third + fourth)
    size = (first << 2 if rice else packets) + (block.mode_word << 2) + (refills << 2)
    bench.check("size", ~issue.block.valid | (late_take == size))
    literal = bench.past(bench.past(issue.issue.payload.literal))
    bench.check("literal", ~issue.block.valid | (literal == (block.widths[0] == LITERAL)))

    brought = block.data.word_select(refills[:3], _WORD)
    opens = active & (take != 0) & ~valid
    with m.If(issue.block.valid):
        m.d.sync += number.eq(number + 1)
        with m.If(block.mode_word & (next_word == which >> 4)):
            m.d.sync += mode.eq(brought.word_select(which[:4], MODE_BITS))
    with m.If(issue.start):
        m.d.sync += number.eq(0)
    with m.If(opens & (which >> 4 == 0)):
        m.d.sync += mode.eq(issue.head[:_WORD].word_select(which[:4], MODE_BITS))

    begun = Signal()
    started = issue.start
    for _ in range(BlockIssue.start_latency):
        started = bench.past(started)
    m.d.sync += begun.eq((started | begun) & ~issue.done)
    bench.check("rate", ~(begun | started) | valid | ~issue.credit | ~there)
    bench.check("no_underrun", ~issue.underrun | ~there)
    # The block behind the last one of the second word; of rice, whose words last longer, one of the
    # first word.
    far = 3 if rice else 2 << _BLOCKS_LOG2[codec]
    bench.cover("far", issue.block.valid & (number == far) & (paused == pauses))
    bench.cover("done", issue.done & (issued != 0))
    return bench
