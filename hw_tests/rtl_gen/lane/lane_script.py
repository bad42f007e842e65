# SPDX-License-Identifier: Apache-2.0
"""Plays micro-operations into a lane or a lane chain, at the shortest distances allowed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from hw_tests.rtl_gen.fields import nested
from hw_tests.rtl_gen.lane.paired_rows import paired_rows
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.epilogue import drain_modes_with
from rtl_gen.interfaces.lane import DrainMode, Target, WordKind
from rtl_gen.lane.latency import LaneLatency

__all__ = ["LaneScript", "Operations", "play", "set_lanes"]

Operations = dict[str, dict[int, dict[str, Any]]]
"""Fields of the micro-operations of each kind by cycle, the kind named as in LaneControlSignature;
an issue has the field `rows` too, a swap has none.
"""


def set_lanes(ctx: Any, lanes: Any, operations: Operations, cycle: int, garbage: Random) -> None:
    """Drive a LaneSignature for a cycle; what is idle carries garbage."""
    control = lanes.control
    streams = {
        "issue": control.issue,
        "word": control.word,
        "fetch": control.fetch,
        "drain": control.drain,
        "finish": control.finish,
    }
    issue = operations["issue"].get(cycle, {})
    ctx.set(control.swap, cycle in operations["swap"])
    broadcast = lanes.rows.as_value()
    ctx.set(broadcast, garbage.getrandbits(len(broadcast)))
    if issue:
        ctx.set(lanes.rows, paired_rows(issue["rows"]))
    before = cycle - LaneLatency.of(lanes.signature.config).row_sum
    for row, row_sum in enumerate(lanes.row_sums):
        rows = operations["issue"].get(before, {}).get("rows")
        ctx.set(row_sum, sum(rows[row]) if rows else garbage.randrange(-4000, 4000))
    for kind, port in streams.items():
        fields = operations[kind].get(cycle)
        ctx.set(port.valid, fields is not None)
        if fields is None:
            ctx.set(port.payload.as_value(), garbage.getrandbits(port.payload.shape().size))
        else:
            own = {name: value for name, value in fields.items() if name != "rows"}
            ctx.set(port.payload, nested(port.payload.shape(), own))


class LaneScript:
    """Micro-operations by cycle, with just enough book-keeping to place each at its earliest legal
    cycle.

    `expected` maps (cycle, lane) to the bytes that must appear on o_result.
    """

    def __init__(self, config: AcceleratorConfig, start: int = 3) -> None:
        self.config = config
        self.latency = LaneLatency.of(config)
        self.operations: Operations = defaultdict(dict)
        self.expected: dict[tuple[int, int], bytes] = {}
        self.issue = self.drain = self.word = self.fetch = start
        self.swap = start - 10
        self.drained: dict[Target, int] = defaultdict(lambda: -100)
        self.issued: dict[Target, int] = defaultdict(lambda: -100)
        self.scored: dict[int, int] = defaultdict(lambda: -100)
        self.totalled: dict[int, int] = defaultdict(lambda: -100)
        self.output_start = -100

    def _put(self, name: str, cycle: int, **fields: Any) -> None:
        if cycle in self.operations[name]:
            raise AssertionError(f"two of {name} in cycle {cycle}")
        self.operations[name][cycle] = fields

    def words(
        self, words: Sequence[np.ndarray], exponents: Sequence[int] = (), **fields: Any
    ) -> int:
        """Words of lanes 0.. (INT8 operands unless `kind` says otherwise) and their exponents, 0 if
        left out; the earliest cycle of their swap.
        """
        cycle = max(self.word, self.swap + self.latency.operand_reuse)
        for lane, word in enumerate(words):
            data = int.from_bytes(word.tobytes(), "little")
            own = {"lane": lane, "data": data, "kind": WordKind.INT8}
            own["exponent"] = int(exponents[lane]) if len(exponents) else 0
            self._put("word", cycle, **{**own, **fields})
            cycle += 1
        self.word = cycle
        return cycle - 1 + self.latency.operand

    def totals(self, group: int, totals: Sequence[int]) -> None:
        """Totals of lanes 0.. as the words that hold them."""
        self.words([np.array([total], "<u4") for total in totals], kind=WordKind.TOTAL, group=group)
        self.totalled[group] = self.word - 1

    def fetches(self, bank: int, group: int) -> int:
        """All probabilities of (bank, group); returns the earliest cycle of their swap."""
        latency = self.latency
        cycle = max(self.fetch, self.swap + latency.fetch_reuse, self.scored[group] + latency.score)
        for index in range(self.config.tile_cycles):
            self._put("fetch", cycle, bank=bank, group=group, index=index)
            cycle += 1
        self.fetch = self.word = cycle
        return max(cycle - 1 + latency.fetch, self.scored[group] + latency.score)

    def step(self, swap: int, target: Target, group: int, rows: np.ndarray, **fields: Any) -> None:
        """A swap in cycle `swap` or later, W/R issues behind it; rows: int8 [W, W], one row per
        channel.

        `block`, in the fields, is the head-dim block of the OUTPUT address.
        """
        config = self.config
        base = (fields.pop("block", 0) * config.groups + group) * config.tile_cycles
        cycle = max(self.issue, swap + 1, self.drained[target] + self.latency.port)
        self.swap = cycle - 1
        self._put("swap", self.swap)
        for index in range(config.tile_cycles):
            part = rows[index * config.rows : (index + 1) * config.rows]
            self._put(
                "issue",
                cycle,
                target=target,
                address=base + index,
                group=group,
                rows=[[int(value) for value in row] for row in part],
                **fields,
            )
            cycle += 1
        self.issue, self.issued[target] = cycle, cycle - 1

    def drains(
        self,
        mode: DrainMode,
        target: Target,
        group: int,
        parameters: list[tuple[int, int, int]],
        **fields: Any,
    ) -> list[int]:
        """Drain one group; parameters: (bias, multiplier, shift) per channel. Emit cycles."""
        config, latency = self.config, self.latency
        base = (fields.pop("block", 0) * config.groups + group) * config.tile_cycles
        cycle = max(self.drain, self.issued[target] + latency.accumulate)
        if mode == DrainMode.SCORE:
            cycle = max(cycle, self.scored[group] + latency.score_revisit)
        cycle = max(cycle, fields.pop("earliest", 0))
        half = config.tile_cycles // 2
        emits = []
        for index in range(config.tile_cycles):
            last = index == config.tile_cycles - 1
            wide = mode in drain_modes_with(lambda drain: drain.wide)
            emit = last or (wide and index == half - 1)
            emit = emit and mode != DrainMode.SCORE
            names = ("bias", "multiplier", "shift")
            part = parameters[index * config.rows : (index + 1) * config.rows]
            self._put(
                "drain",
                cycle,
                mode=mode,
                target=target,
                address=base + index,
                parameters=[dict(zip(names, values, strict=True)) for values in part],
                position=index,
                start=index == 0,
                emit=emit,
                group=group,
                **fields,
            )
            if emit:
                emits.append(cycle)
            cycle += 1
        self.drain, self.drained[target] = cycle, cycle - 1
        if mode == DrainMode.SCORE:
            self.scored[group] = cycle - 1
        if mode in drain_modes_with(lambda drain: drain.outputs):
            self.output_start = cycle - config.tile_cycles
        return emits

    def finish(self, group: int, multiplier: int, shift: int) -> int:
        """One finish; returns the earliest cycle of the OUTPUT drain."""
        latency = self.latency
        cycle = max(
            self.scored[group] + latency.score_sum,
            self.totalled[group] + latency.total,
            self.output_start + latency.finish_reuse,
            0,
        )
        self._put("finish", cycle, group=group, multiplier=multiplier, shift=shift)
        return cycle + latency.finish

    def output(
        self, group: int, earliest: int, *, mode: DrainMode = DrainMode.OUTPUT, **fields: Any
    ) -> list[int]:
        """Drain the mixed values of a group; the parameters that come with it must not matter."""
        parameters = [(999, 3, 3)] * self.config.width
        return self.drains(mode, Target.OUTPUT, group, parameters, earliest=earliest, **fields)

    def expect(self, emits: list[int], lane: int, values: bytes) -> None:
        """`values` of one lane leave as W-byte words, one per emit cycle."""
        width = self.config.width
        for number, cycle in enumerate(emits):
            word = values[number * width : (number + 1) * width]
            self.expected[cycle + self.latency.result + lane, lane] = word

    @property
    def end(self) -> int:
        """A cycle by which every result has left."""
        return max(self.issue, self.drain) + self.latency.result + self.config.lanes + 4


def play(
    dut: Any, script: LaneScript, take: Any, lanes: Any, seed: int, rig: Rig | None = None
) -> None:
    """Run the script, on `rig` if it is given; `take(ctx)` gives (lane, word) or None.

    `lanes()`: the Lane objects after elaboration, whose conflict flag must stay 0.
    """
    generator = Random(salted(seed))
    found: dict[tuple[int, int], bytes] = {}

    async def bench(ctx: Any) -> None:
        for cycle in range(script.end):
            set_lanes(ctx, dut.i, script.operations, cycle, generator)
            result = take(ctx)
            if result is not None:
                found[cycle, result[0]] = result[1].to_bytes(script.config.width, "little")
            for lane in lanes():
                assert not ctx.get(lane.conflict), f"conflict in cycle {cycle}, seed {seed}"
            await ctx.tick()

    (rig or Rig(dut)).simulate(bench)
    assert script.expected, "the script expects nothing"
    assert sorted(found) == sorted(script.expected), f"result times, seed {seed}"
    for key, word in script.expected.items():
        assert found[key] == word, f"cycle and lane {key}, seed {seed}"
