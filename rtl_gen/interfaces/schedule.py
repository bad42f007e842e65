# SPDX-License-Identifier: Apache-2.0
"""What the schedules say to the issuing and the draining half of the array control.

A *tile operation* is one tile, or some of its rows or columns, against one token group. A *phase*
is
a run of tile operations that accumulate into one target and are then drained together: a slice of a
MATMUL, the scores of one key block, or all value blocks of a sequence. Phases, their jobs and their
tile operations keep one order. All carry the index of their command, for errors of what they read
and write.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.lane import SCALE, accumulation_layout, drain_task_layout, lane_range
from rtl_gen.interfaces.memory import ADDRESS_BITS, STRIDE_BITS
from rtl_gen.interfaces.result import RESULT_MODE

__all__ = [
    "drain_job_layout",
    "drain_pass_layout",
    "operand_layout",
    "result_context_layout",
    "row_walk_layout",
    "tile_op_layout",
]


def row_walk_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Words of the lanes of a token group: lane t has the word base + (t div heads) * stride + (t
    mod heads) * head_stride.

    Fields
    ------
    base: word of lane 0.
    stride: words from token to token.
    heads: lanes of a token, 1..T; T div heads tokens are a group.
    head_stride: words from lane to lane of a token.
    """
    return data.StructLayout(
        {
            "base": ADDRESS_BITS,
            "stride": STRIDE_BITS,
            "heads": lane_range(config),
            "head_stride": 6,
        }
    )


def operand_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where the operand of a tile operation comes from.

    Fields
    ------
    fetch: 0: words of the activation memory. 1: the probabilities of (bank, group); then only
        `fetch_first` counts.
    fetch_first: their score pass is awaited.
    words: lanes 0, 1, ..., words-1 take an operand.
    walk: the words they take.
    mask: only these 16-byte parts of the words count, the others are 0.
    own_exponents: the words have their own exponents, else all have `exponent`.
    exponent: see `own_exponents`; 0 for queries, of no account for probabilities and totals.
    wide: each lane takes two words, its own and the next one, as LOW and HIGH (heads = 1).
    totals: with `wide`, the words total_source + t*stride go first to the totals of `group`.
    total_source: see `totals`.
    """
    return data.StructLayout(
        {
            "fetch": 1,
            "fetch_first": 1,
            "words": lane_range(config),
            "walk": row_walk_layout(config),
            "mask": config.width // BEAT_BYTES,
            "own_exponents": 1,
            "exponent": EXPONENT_BITS,
            "wide": 1,
            "totals": 1,
            "total_source": ADDRESS_BITS,
        }
    )


def tile_op_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A tile operation.

    Fields
    ------
    tile_last: the last one of its tile.
    phase_first: waits until the target is drained.
    phase_last: lets the drain job of its phase start.
    by_column: columns of the tile are read instead of rows.
    index: first R rows or columns that are read.
    cycles: how many times R of them are read; 0 is allowed.
    work: of the first cycle; `work.address` counts up with `index`.
    operand: what stays in the lanes meanwhile.
    command: index of the command.
    """
    return data.StructLayout(
        {
            "tile_last": 1,
            "phase_first": 1,
            "phase_last": 1,
            "by_column": 1,
            "index": range(config.tile_cycles),
            "cycles": range(config.tile_cycles + 1),
            "work": accumulation_layout(config),
            "operand": operand_layout(config),
            "command": INDEX_BITS,
        }
    )


def _destination_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Where and how result words are written: the same from the drain job to the context of a
    result.

    Fields
    ------
    result: what the writer does with them.
    walk: words of the lanes.
    row: of lane 0, counted up by tokens (heads = 1 wherever rows matter).
    operand: ROTATE8, GATE, operand word of lane 0's token.
    operand_stride: its words from token to token.
    post_shift: ROTATE8, GATE.
    mask: 16-byte parts that are written.
    channel: arg-max index of the first channel.
    restart: the arg-max starts again.
    command: index of the command.
    """
    return data.StructLayout(
        {
            "result": RESULT_MODE,
            "walk": row_walk_layout(config),
            "row": 16,
            "operand": ADDRESS_BITS,
            "operand_stride": STRIDE_BITS,
            "post_shift": 6,
            "mask": config.width // BEAT_BYTES,
            "channel": 20,
            "restart": 1,
            "command": INDEX_BITS,
        }
    )


def _drain_fields(config: AcceleratorConfig) -> dict[str, object]:
    return {
        "task": drain_task_layout(config),
        "destination": _destination_layout(config),
        "operand_second": 1,
        "remaining": signed(22),
        "scale": SCALE,
    }


def drain_job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Drain of a phase: `tokens` tokens, from group `task.group` on, `blocks` blocks of W channels.

    A group has T div heads tokens; lane t is token t div heads, head t mod heads of it. Of a group
    with n <= T div heads tokens left, the lanes below n*heads emit.

    Fields
    ------
    task: what is drained and why; `limit` is that of lane 0 of the first group.
    destination: of the first group. The next groups go on where the tokens before end; each block
        lies one word further.
    operand_second: ROTATE8, GATE, distance to the operand word of the second half (0 or 1).
    remaining: channels for the arg-max, from `destination.channel` on.
    scale: of SCORE, SCORE16, OUTPUT and OUTPUT16.
    tokens: of the phase.
    blocks: of W channels.
    """
    return data.StructLayout({**_drain_fields(config), "tokens": 16, "blocks": 6})


def drain_pass_layout(config: AcceleratorConfig) -> data.StructLayout:
    """W/R drain cycles of one group and block.

    Fields
    ------
    task, destination, operand_second, remaining, scale: as in the job, for this group and block.
    accumulator: address of its first accumulators.
    lanes: lanes below this one emit.
    credits: result words it emits.
    slot: of the parameter buffer.
    start: first block of the group.
    last: last pass of its job.
    """
    return data.StructLayout(
        {
            **_drain_fields(config),
            "accumulator": accumulation_layout(config).members["address"],
            "lanes": lane_range(config),
            "credits": range(2 * config.lanes + 1),
            "slot": 1,
            "start": 1,
            "last": 1,
        }
    )


def result_context_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What the results of one `emit` have in common.

    Fields
    ------
    destination: of lane 0.
    half: which half of the W-element word the W/2 elements belong to (modes TABLE, ROTATE8, GATE,
        WORD).
    elements: how many of them count for the arg-max.
    lanes: words of lanes 0, 1, ..., lanes-1 come.
    """
    return data.StructLayout(
        {
            "destination": _destination_layout(config),
            "half": 1,
            "elements": range(config.width // 2 + 1),
            "lanes": lane_range(config),
        }
    )
