# SPDX-License-Identifier: Apache-2.0
"""ATTEND schedule: order of tiles, skipped groups, trimmed ops and jobs against loops over
sequences and blocks.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import pytest
from amaranth.lib.wiring import Out

from hw_tests.rtl_gen.array.step_registers import set_step
from hw_tests.rtl_gen.fields import leaves
from hw_tests.seeds import salted
from hw_tests.streams import Sink, Stalls, simulate
from meadow.spec.commands import AttendPart, Command, Opcode
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from meadow.spec.step import Sequence, Step
from rtl_gen.array.attend_schedule import AttendSchedule
from rtl_gen.array.attend_span import AttendSpan
from rtl_gen.interfaces.lane import DrainMode, Target

_SMALL = CONFIGURATIONS["small"]
_LANES_8 = dataclasses.replace(_SMALL, lanes=8, width=32, rows=2)
_ONE_LANE = dataclasses.replace(_SMALL, lanes=1, rows=4)
_SCALES = dict(score_multiplier=77, score_shift=3, output_multiplier=99, output_shift=-4)
_OPERAND = ("rescale", "fetch", "fetch_first", "wide", "totals", "own_exponents", "exponent")
_NO_OPERAND = ("words", "base", "stride", "heads", "head_stride", "mask")
"""Of a tile operation that fetches probabilities: nobody looks."""


@dataclasses.dataclass(frozen=True)
class _Case:
    head_dim: int
    spans: list[tuple[int, int]]
    heads: int = 1
    part: AttendPart = AttendPart.WHOLE
    first: int = 0
    rows: int = 0
    column: int = 0
    config: AcceleratorConfig = _SMALL

    def values(self, causal: int) -> dict[str, int]:
        width = self.config.width
        values = dict(query=100, query_stride=13, causal=causal, column_beats=self.column)
        values |= dict(blocks=max(1, self.head_dim // width), scores=3000, scores_stride=41)
        values |= dict(segment_beats=min(self.head_dim, width) // 16, heads=self.heads)
        return values | _SCALES | dict(part=self.part, first=self.first, rows=self.rows)

    @property
    def parts(self) -> Iterator[tuple[int, int, int]]:
        """Chunk row and position of the first token, and tokens, of each sequence."""
        row = 0
        for position, tokens in self.spans:
            yield row + self.first, position + self.first, self.rows or tokens
            row += tokens

    def order(self, count: int) -> list[tuple[str, int]]:
        """Tiles of a sequence of `count` key blocks."""
        if self.part != AttendPart.WHOLE:
            return [("k" if self.part == AttendPart.SCORES else "v", b) for b in range(count)]
        order = [("k", 0)]
        for b in range(1, count):
            order += [("k", b), ("v", b - 1)]
        return [*order, ("v", count - 1)]


def _expected(case: _Case, causal: int) -> tuple[list[dict], list[dict]]:
    ops, jobs = [], []
    config, values = case.config, case.values(causal)
    width, depth, heads = config.width, config.tile_cycles, case.heads
    blocks, stride, query = values["blocks"], values["query_stride"], values["query"]
    scores, scores_stride = values["scores"], values["scores_stride"]
    size = config.lanes // heads
    column = 16 * values["column_beats"] // config.rows
    column_cycles = 16 * values["segment_beats"] // config.rows
    whole_mask = (1 << width // 16) - 1
    head_mask = (1 << values["segment_beats"]) - 1 << values["column_beats"]
    for row, position, tokens in case.parts:
        keys = position + tokens
        count = -(-keys // width)

        def reach(g: int, position=position, tokens=tokens, keys=keys) -> int:
            return position + min((g + 1) * size, tokens) if causal else keys

        for kind, b in case.order(count):
            groups = [g for g in range(-(-tokens // size)) if reach(g) > b * width]
            if case.part == AttendPart.VALUES and b == 0:
                hold = dict(tile_last=0, phase_first=1, phase_last=0, cycles=0, totals=0, fetch=0)
                ops.append(hold | dict(target=Target.OUTPUT, words=1))
            for h in range(blocks):
                for g in groups:
                    opens = h == 0 and g == groups[0]
                    closes = h == blocks - 1 and g == groups[-1]
                    op = dict(tile_last=g == groups[-1], bank=b % 2, group=g)
                    op |= dict(words=heads * min(size, tokens - g * size), heads=heads)
                    op |= dict(head_stride=blocks, mask=head_mask, stride=stride)
                    op |= dict.fromkeys(_OPERAND, 0)
                    if kind == "k":
                        seen = min(width, reach(g) - b * width)
                        seen = width if case.part == AttendPart.SCORES else seen
                        op |= dict(phase_first=opens, phase_last=closes, by_column=0, index=0)
                        op |= dict(cycles=-(-seen // config.rows), address=g * depth)
                        op |= dict(first=h == 0, target=Target.BUFFER0)
                        op |= dict(base=query + (row + g * size) * stride + h)
                    else:
                        whole = case.part == AttendPart.WHOLE
                        op |= dict(phase_first=opens and b == 0 and whole)
                        op |= dict(phase_last=closes and b == count - 1, by_column=1)
                        op |= dict(index=column, cycles=column_cycles, first=b == 0)
                        op |= dict(address=(h * config.groups + g) * depth + column)
                        op |= dict(rescale=b > 0 and whole, fetch=whole, wide=not whole)
                        op |= dict(fetch_first=h == 0 and whole, target=Target.OUTPUT)
                        op |= dict(totals=h == b == 0 and not whole)
                        source = scores + g * size * scores_stride + 1 + 2 * b
                        op |= dict(base=source, stride=scores_stride, mask=whole_mask)
                        if whole:
                            op |= dict.fromkeys(_NO_OPERAND)
                    ops.append(op)
            low = groups[0] * size
            job = dict(heads=heads, head_stride=blocks, causal=causal)
            if kind == "k":
                as_words = case.part == AttendPart.SCORES
                job |= dict(mode=DrainMode.SCORE16 if as_words else DrainMode.SCORE)
                job |= dict(target=Target.BUFFER0, group=groups[0], row=row + low)
                job |= dict(tokens=tokens - low, blocks=1, bank=b % 2, reset=b == 0)
                job |= dict(limit=(position + low + 1 if causal else keys) - b * width)
                job |= dict(multiplier=77, shift=3, base=None, stride=None, mask=None)
                job |= dict(result=ResultMode.WRITE)
                if as_words:
                    job |= dict(base=scores + low * scores_stride + 1 + 2 * b)
                    job |= dict(stride=scores_stride, mask=whole_mask)
                jobs.append(job)
            elif b == count - 1:
                fills = head_mask == whole_mask
                mode = DrainMode.OUTPUT16 if fills else DrainMode.OUTPUT
                job |= dict(result=ResultMode.WORD if fills else ResultMode.WRITE)
                job |= dict(mode=mode, target=Target.OUTPUT, group=0, row=row)
                job |= dict(tokens=tokens, blocks=blocks, base=query + row * stride)
                job |= dict(stride=stride, mask=head_mask, multiplier=99, shift=-4)
                jobs.append(job | dict(bank=None, reset=None, limit=None))
    return ops, jobs


def _same(seen: list[dict], wanted: list[dict], seed: int) -> None:
    """None in what is wanted stands for any value, as does a field that is not named."""
    for index, (one, other) in enumerate(zip(seen, wanted, strict=False)):
        other = {name: value for name, value in other.items() if value is not None}
        assert one == {**one, **other}, f"{index} of {len(wanted)}, seed {seed}"
    assert len(seen) == len(wanted), f"seed {seed}"


def _run(case: _Case, causal: int, rng: random.Random, *, stalls: bool) -> tuple:
    """Tile operations, jobs, and the cycles before each operation from the one before, or from the
    command.
    """
    dut = AttendSchedule(config=case.config)
    command = int.from_bytes(Command(Opcode.ATTEND, case.values(causal)).encode(), "little")
    share = 0.6 if stalls else 0.0
    ops, jobs = (Sink(port, Stalls(share, rng)) for port in (dut.o_op, dut.o_job))
    gaps: list[int] = []

    async def bench(ctx) -> None:
        rows, sequences = 0, []
        for position, tokens in case.spans:
            sequences.append(Sequence(0, position, tokens, rows))
            rows += tokens
        set_step(ctx, dut.step, Step(tuple(sequences)))
        bits = len(dut.i_command.payload.as_value())
        ctx.set(dut.i_command.valid, 1)
        ctx.set(dut.i_command.payload.as_value(), command & (1 << bits) - 1)
        await ctx.tick()
        ctx.set(dut.i_command.valid, 0)
        waited = 1
        while ctx.get(dut.busy):
            ops.drive(ctx)
            jobs.drive(ctx)
            if ops.settle(ctx):
                gaps.append(waited)
                waited = 0
            jobs.settle(ctx)
            await ctx.tick()
            waited += 1

    simulate(dut, bench)
    made = [leaves(op) for op in ops.received]
    assert all(op["total_source"] == op["base"] - 1 for op in made if op["totals"])
    return made, [leaves(job) for job in jobs.received], gaps


_CASES = {
    "one": _Case(16, [(0, 1)], column=1),
    "square": _Case(32, [(0, 64)]),
    "odd": _Case(32, [(95, 30)]),
    "four_sequences": _Case(64, [(31, 5), (0, 33), (64, 1), (200, 2)]),
    "decode": _Case(16, [(7, 1), (100, 1), (31, 1)]),
    "two_heads": _Case(64, [(30, 9), (0, 3)], heads=2),
    "three_heads": _Case(32, [(29, 7), (5, 1)], heads=3),
    "four_heads": _Case(16, [(61, 5)], heads=4, column=1),
    "three_of_eight": _Case(32, [(90, 11)], heads=3, config=_LANES_8),
    "five_of_eight": _Case(32, [(31, 3), (0, 2)], heads=5, config=_LANES_8),
    "part": _Case(32, [(20, 50)], heads=2, first=13, rows=9),
    "scores": _Case(64, [(30, 40)], part=AttendPart.SCORES),
    "scores_part": _Case(16, [(0, 60)], part=AttendPart.SCORES, first=30, rows=30),
    "values": _Case(64, [(30, 40)], part=AttendPart.VALUES),
    "values_part": _Case(16, [(0, 60)], part=AttendPart.VALUES, first=30, rows=29, column=1),
    "values_one": _Case(32, [(9, 1)], part=AttendPart.VALUES),
    "one_lane": _Case(32, [(30, 4)], config=_ONE_LANE),
}


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize("causal", [0, 1], ids=["full", "causal"])
@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES.keys())
def test_steps_and_jobs(case: _Case, causal: int, stalls: bool) -> None:
    seed = 6
    ops, jobs, gaps = _run(case, causal, random.Random(salted(seed)), stalls=stalls)
    want_ops, want_jobs = _expected(case, causal)
    _same(ops, want_ops, seed)
    _same(jobs, want_jobs, seed)
    if stalls:
        return
    assert gaps[0] == (
        AttendSchedule.LATENCY
        if case.part != AttendPart.VALUES
        else AttendSchedule.LATENCY - AttendSchedule.OP_CYCLES + 1
    )
    for gap, before in zip(gaps[1:], ops[:-1], strict=True):
        if not before["tile_last"]:
            assert gap == AttendSchedule.OP_CYCLES


def test_generation_keeps_ahead_of_the_array() -> None:
    """512 tokens at full size: laying a head out takes well below half of the cycles that its ops
    take.
    """
    case = _Case(64, [(0, 512)], config=CONFIGURATIONS["zcu102-paper"])
    ops, _, gaps = _run(case, 1, random.Random(salted(0)), stalls=False)
    assert sum(gaps) <= 0.2 * sum(op["cycles"] for op in ops)


def test_span_latency() -> None:
    """Every output is final LATENCY cycles after the sequence has changed."""
    dut = AttendSpan(config=_LANES_8)
    outputs = {
        path[-1]: port for path, member, port in dut.signature.flatten(dut) if member.flow == Out
    }

    async def bench(ctx) -> None:
        for name, value in (("query", 5), ("query_stride", 9), ("heads", 3), ("causal", 1)):
            ctx.set(dut.command[name], value)
        set_step(ctx, dut.step, Step((Sequence(0, 60, 4, 0), Sequence(0, 7, 9, 4))))
        for index in (0, 1, 0):
            ctx.set(dut.sequence, index)
            await ctx.tick().repeat(AttendSpan.LATENCY)
            values = {name: ctx.get(output) for name, output in outputs.items()}
            wanted = dict(group_tokens=2, group_lanes=6, group_stride=18)
            if index:
                wanted |= dict(tokens=9, row=4, position=7, keys=16, first_keys=8)
                wanted |= dict(last_block=0, start=5 + 36)
            else:
                wanted |= dict(tokens=4, row=0, position=60, keys=64, first_keys=61)
                wanted |= dict(last_block=1, start=5)
            assert values == wanted

    simulate(dut, bench)
