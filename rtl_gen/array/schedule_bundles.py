# SPDX-License-Identifier: Apache-2.0
"""What the schedules say to the issuing and the draining half of the array control.

A *phase* is a run of steps that accumulate into one target and are then drained together: a slice of a MATMUL, the
scores of one key block, or all value blocks of a sequence. Phases, their jobs and their steps keep one order.
"""

from __future__ import annotations

from amaranth.hdl import signed
from amaranth.lib import data

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.array.bundles import DrainMode, Target, issue_layout, lane_range
from rtl_gen.vector.bundles import ResultMode

__all__ = ["array_step_layout", "drain_job_layout", "drain_pass_layout", "result_context_layout"]


def array_step_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A tile (part) against one token group: `cycles` issues, from tile index and accumulator `address` on.

    Operand: `fetch` = 0: `words` words from word `source` on, `stride` apart, for lanes 0, 1, ..., only the 16-byte
    parts of `mask`, the others 0. `fetch` = 1: the probabilities of (bank, group), whose score pass is awaited when
    `fetch_first`. tile_last is the last step of its tile. phase_first waits until the target is drained,
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
        }
    )


def drain_job_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Drain of a phase: rows row .. end-1 of the row set, from group `group` on, `blocks` W-channel blocks each.

    address: word of lane 0 of that group. channel, remaining: arg-max index of the first channel, and how many channels
    there are from it on. limit: keys that lane 0 of that group sees. multiplier, shift: of SCORE and OUTPUT.
    """
    return data.StructLayout(
        {
            "mode": DrainMode,
            "target": Target,
            "result": ResultMode,
            "group": issue_layout(config).members["group"],
            "row": 16,
            "end": 16,
            "address": 20,
            "stride": 12,
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
        }
    )


def drain_pass_layout(config: AcceleratorConfig) -> data.StructLayout:
    """W/R drain cycles of one group and block. Fields as in the job, `address` and `row` of lane 0 of this group.

    accumulator: address of its first accumulators. credits: result words it emits. slot: parameter slot. last: of its
    job. start: first block of the group.
    """
    job = drain_job_layout(config).members
    issue = issue_layout(config).members
    shared = (
        "mode target result group row address stride mask channel remaining restart bank reset "
        "causal limit multiplier shift"
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
    """What the results of one `emit` have in common; `address` and `row` of lane 0, lanes_high - 1 comes last."""
    return data.StructLayout(
        {
            "address": 20,
            "stride": 12,
            "row": 16,
            "mask": config.width // BEAT_BYTES,
            "mode": ResultMode,
            "channel": 20,
            "elements": range(config.width // 2 + 1),
            "restart": 1,
            "lanes_high": lane_range(config),
        }
    )
