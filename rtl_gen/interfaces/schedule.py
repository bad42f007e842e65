# SPDX-License-Identifier: Apache-2.0
"""What the schedules say to the issuing and the draining half of the array control.

A *phase* is a run of steps that accumulate into one target and are then drained together: a slice
of a MATMUL, the scores of one key block, or all value blocks of a sequence. Phases, their jobs and
their steps keep one order. All carry the index of their command, for errors of what they read and
write.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.lane import DrainMode, Target, issue_layout, lane_range
from rtl_gen.interfaces.result import RESULT_MODE

__all__ = ["array_step_layout", "drain_job_layout", "drain_pass_layout", "result_context_layout"]


def array_step_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A tile (part) against one token group: `cycles` issues, from tile index and accumulator
    `address` on.

    Operand: `fetch` = 0: for lanes 0, 1, ..., words-1, only the 16-byte parts of `mask`, the others
    0: lane t takes the word source + (t div heads) * stride + (t mod heads) * head_stride. With
    `wide` (heads = 1) each lane takes its two words source + t*stride and + 1 more as LOW and HIGH;
    with `totals` too, the words total_source + t*stride go first to the totals of `group`. `fetch`
    = 1: the probabilities of (bank, group), whose score pass is awaited when `fetch_first`.
    tile_last is the last step of its tile. phase_first waits until the target is drained,
    phase_last lets its drain job start.
    """
    issue = issue_layout(config).members
    return data.StructLayout(
        {
            "tile_last": 1,
            "phase_first": 1,
            "phase_last": 1,
            "by_column": 1,
            "index": range(config.step_cycles),
            "cycles": range(config.step_cycles + 1),
            "target": Target,
            "address": issue["address"],
            "first": 1,
            "rescale": 1,
            "bank": 1,
            "group": issue["group"],
            "fetch": 1,
            "fetch_first": 1,
            "words": lane_range(config),
            "source": 20,
            "stride": 12,
            "mask": config.width // BEAT_BYTES,
            "heads": lane_range(config),
            "head_stride": 6,
            "wide": 1,
            "totals": 1,
            "total_source": 20,
            "command": INDEX_BITS,
        }
    )


def drain_job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Drain of a phase: `tokens` tokens of `heads` lanes each, from group `group` on, `blocks`
    W-channel blocks each.

    A group has T div heads tokens; lane t is token t div heads, head t mod heads of it. Of a group
    with n <= T div heads tokens left, the lanes below n*heads emit. address: word of lane 0 of
    group `group`; lane t of the next groups has address + (tokens before + t div heads) * stride +
    (t mod heads) * head_stride, and each block one word more. row: of lane 0 of group `group`,
    counted up by tokens (heads = 1 wherever rows matter).
    channel, remaining: arg-max index of the first channel, and how many channels there are from it
    on. limit: keys that lane 0 of that group sees. multiplier, shift: of SCORE, SCORE16 and OUTPUT.
    rotary, rotary_stride: ROTATE8, rotary word of row 0's first half word of this phase, words from
    row to row; second: distance to the word of the second half (0 or 1). post_shift: ROTATE8,
    GATE8.
    """
    return data.StructLayout(
        {
            "mode": DrainMode,
            "target": Target,
            "result": RESULT_MODE,
            "group": issue_layout(config).members["group"],
            "row": 16,
            "tokens": 16,
            "heads": lane_range(config),
            "head_stride": 6,
            "address": 20,
            "stride": 12,
            "rotary": 20,
            "rotary_stride": 12,
            "rotary_second": 1,
            "post_shift": 6,
            "blocks": 6,
            "mask": config.width // BEAT_BYTES,
            "channel": 20,
            "remaining": signed(22),
            "restart": 1,
            "bank": 1,
            "reset": 1,
            "causal": 1,
            "limit": signed(24),
            "multiplier": 16,
            "shift": signed(7),
            "command": INDEX_BITS,
        }
    )


def drain_pass_layout(config: AcceleratorConfig) -> data.StructLayout:
    """W/R drain cycles of one group and block. Fields as in the job; `address`, `row`, `rotary` of
    lane 0 of this group.

    accumulator: address of its first accumulators. credits: result words it emits. slot: parameter
    slot. last: of its job. start: first block of the group.
    """
    job = drain_job_layout(config).members
    issue = issue_layout(config).members
    shared = (
        "mode target result group row heads head_stride address stride rotary rotary_stride "
        "rotary_second "
        "post_shift mask channel remaining restart bank reset causal limit multiplier shift command"
    )
    return data.StructLayout(
        {
            **{name: job[name] for name in shared.split()},
            "accumulator": issue["address"],
            "lanes_low": lane_range(config),
            "lanes_high": lane_range(config),
            "credits": range(2 * config.lanes + 1),
            "slot": 1,
            "start": 1,
            "last": 1,
        }
    )


def result_context_layout(config: AcceleratorConfig) -> data.StructLayout:
    """What the results of one `emit` have in common; `address`, `row`, `rotary` of lane 0,
    lanes_high - 1 comes last.

    half: which half of the W-element word the W/2 elements belong to (modes TABLE8, ROTATE8,
        GATE8).
    """
    return data.StructLayout(
        {
            "address": 20,
            "stride": 12,
            "heads": lane_range(config),
            "head_stride": 6,
            "rotary": 20,
            "rotary_stride": 12,
            "post_shift": 6,
            "half": 1,
            "row": 16,
            "mask": config.width // BEAT_BYTES,
            "mode": RESULT_MODE,
            "channel": 20,
            "elements": range(config.width // 2 + 1),
            "restart": 1,
            "lanes_high": lane_range(config),
            "command": INDEX_BITS,
        }
    )
