# SPDX-License-Identifier: Apache-2.0
"""Cycle distances the array control keeps between micro-operations; the lanes have no
back-pressure.
"""

from __future__ import annotations

from dataclasses import dataclass

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.requantise import Requantise
from rtl_gen.interfaces.probability import sum_bits
from rtl_gen.softmax.exponent import Exponent

__all__ = ["LaneLatency"]

_REQUANTISE_INPUT = 5
"""Drain at lane input -> accumulator plus bias at the input of the requantise units."""


@dataclass(frozen=True, kw_only=True)
class LaneLatency:
    """Distances in cycles between micro-operations at the input of lane 0, and so of every lane.

    "b from a + n on" allows b in cycle a + n and every later one.

    Parameters
    ----------
    accumulate: a drain of an address from issue + accumulate on, the issue being the last to that
        *target*.
    row_sum: the sums of an issue's rows exactly row_sum cycles after them.
    port: an issue to a target from drain + port on, the drain being the last of that target. (Array
        and drain share the one read port of a target; `accumulate` covers the other order.)
    revisit: two issues to the same (target, address) are at least this far apart.
    operand: a swap from the last word + operand on.
    fetch: a swap from the last fetch + fetch on.
    operand_reuse: the next word from swap + operand_reuse on.
    fetch_reuse: the next fetch from swap + fetch_reuse on (negative: it may even come before the
        swap).
    result: drain with `emit` in cycle c -> word of lane t on o_result exactly in cycle c + result +
        t, every mode.
    score: last SCORE position of a (bank, group) in cycle c -> fetch of index j from c + score +
        j on (so indices 0, 1, ... one per cycle from c + score on), and issues with `rescale` of it
        from c + score on.
    score_revisit: first SCORE position of the same group again (any bank) from the last one +
        score_revisit on.
    score_sum: finish of a group from its last SCORE position + score_sum on.
    total: finish of a group from its word of kind TOTAL + total on.
    finish: OUTPUT or OUTPUT16 drain with `start` from the finish + finish on.
    finish_reuse: the next finish from that `start` + finish_reuse on.

    Beyond these: a SCORE into (bank, group) comes after every fetch and rescale issue that read
    its earlier contents. A TOTAL word comes after every finish that reads an earlier total, and
    from the last SCORE + score_sum on.
    """

    accumulate: int
    row_sum: int
    port: int
    revisit: int
    operand: int
    fetch: int
    operand_reuse: int
    fetch_reuse: int
    result: int
    score: int
    score_revisit: int
    score_sum: int
    total: int
    finish: int
    finish_reuse: int

    @classmethod
    def of(cls, config: AcceleratorConfig) -> LaneLatency:
        """The latencies of one configuration."""
        row_levels = (config.rows - 1).bit_length()
        merge_levels = 1
        while 4**merge_levels < config.lanes:
            merge_levels += 1
        requantised = _REQUANTISE_INPUT + Requantise.LATENCY
        second_pass = requantised + row_levels + 2
        probability = second_pass + 1 + Exponent.LATENCY
        normalise = (sum_bits(config) - 1).bit_length()
        return cls(
            accumulate=5 + (config.width - 1).bit_length(),
            row_sum=1 + (config.width - 1).bit_length(),
            port=1,
            revisit=6,
            operand=1,
            fetch=3,
            operand_reuse=0,
            fetch_reuse=-2,
            result=requantised + 1 + merge_levels,
            score=probability,
            score_revisit=max(1, 6 - config.tile_cycles),
            score_sum=probability + config.tile_cycles - 1 + row_levels + 2,
            total=1,
            finish=17 + normalise,
            finish_reuse=1,
        )
