# SPDX-License-Identifier: Apache-2.0
"""MATMUL schedule: every tile operation and job against three nested loops."""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.fields import leaves
from hw_tests.seeds import salted
from hw_tests.streams import Sink, Stalls, simulate
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.epilogue import MatmulOutput, ResultMode
from rtl_gen.array.matmul_schedule import MatmulSchedule
from rtl_gen.interfaces.lane import DrainMode

_CONFIG = CONFIGURATIONS["small"]
_MASK = (1 << _CONFIG.word_beats) - 1
_MODES = {
    MatmulOutput.INT8: (DrainMode.INT8, ResultMode.WRITE),
    MatmulOutput.RELU: (DrainMode.RELU16, ResultMode.WORD),
    MatmulOutput.RESIDUAL16: (DrainMode.INT16, ResultMode.ADD16),
    MatmulOutput.LOGITS16: (DrainMode.INT16, ResultMode.LOGITS16),
    MatmulOutput.TABLE: (DrainMode.INT16, ResultMode.TABLE),
    MatmulOutput.ROTATE8: (DrainMode.INT16, ResultMode.ROTATE8),
    MatmulOutput.GATE: (DrainMode.INT16, ResultMode.GATE),
    MatmulOutput.TABLE16: (DrainMode.INT16, ResultMode.TABLE16),
}

_WIDE = (MatmulOutput.RESIDUAL16, MatmulOutput.LOGITS16, MatmulOutput.TABLE16)


def _expected(values: dict[str, int], rows: int) -> tuple[list, list]:
    ops, jobs = [], []
    lanes, cycles, width = _CONFIG.lanes, _CONFIG.tile_cycles, _CONFIG.width
    groups = -(-rows // lanes)
    stride, tiles = values["source_stride"], values["tiles"]
    for n in range(values["slices"]):
        for k in range(tiles):
            for g in range(groups):
                last, end = g == groups - 1, k == tiles - 1
                source = values["source"] + g * lanes * stride + k
                words = min(lanes, rows - g * lanes)
                op = dict(tile_last=int(last), phase_first=int(g == k == 0))
                op |= dict(phase_last=int(last and end), cycles=cycles, address=g * cycles)
                op |= dict(first=int(k == 0), fetch=0, words=words, base=source, stride=stride)
                op |= dict(exponent=values["exponent"], own_exponents=int(not values["exponent"]))
                ops.append(op | dict(heads=1, wide=0, group=g, mask=_MASK))
        output = MatmulOutput(values["output"])
        wide = 1 + (output in _WIDE)
        address = values["destination"] + n * wide
        channel, left = values["first_channel"] + n * width, values["channels"] - n * width
        restart = int(values["restart"] and n == 0)
        job = dict(group=0, row=0, tokens=rows, heads=1, base=address, blocks=1, mask=_MASK)
        job |= dict(stride=values["destination_stride"], channel=channel, remaining=left)
        # Without repetition as if there were more words than ever are used.
        words = values["operand_words"] or 1 << 20
        second = 2 * n % words != (2 * n + 1) % words
        job |= dict(operand=values["operand"] + 2 * n % words, operand_second=int(second))
        job |= dict(operand_stride=values["operand_stride"], post_shift=values["post_shift"])
        mode, result = _MODES[output]
        jobs.append(job | dict(restart=restart, mode=mode, result=result))
    return ops, jobs


@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize(
    ("rows", "head", "output", "operand_words", "exponent"),
    [
        (1, False, MatmulOutput.INT8, 8, 0),
        (9, False, MatmulOutput.LOGITS16, 8, 7),
        (3, True, MatmulOutput.RESIDUAL16, 8, 0),
        (8, False, MatmulOutput.RELU, 8, 1),
        (2, False, MatmulOutput.TABLE, 8, 0),
        (2, False, MatmulOutput.TABLE16, 0, 0),
        (5, False, MatmulOutput.ROTATE8, 1, 0),
        (5, False, MatmulOutput.ROTATE8, 2, 0),
        (5, False, MatmulOutput.ROTATE8, 4, 0),
        (1, False, MatmulOutput.GATE, 32, 4),
        (3, False, MatmulOutput.GATE, 0, 0),
    ],
)
def test_steps_and_jobs(
    rows: int,
    head: bool,
    output: MatmulOutput,
    operand_words: int,
    exponent: int,
    stalls: bool,
) -> None:
    seed = 4
    rng = random.Random(salted(seed))
    dut = MatmulSchedule(config=_CONFIG)
    values = dict(source=40, source_stride=7, tiles=3, slices=4, destination=90, output=int(output))
    values |= dict(destination_stride=11, first_channel=64, channels=90, restart=1)
    values |= dict(operand=500, operand_stride=5, operand_words=operand_words, post_shift=13)
    values |= dict(exponent=exponent)
    values["row_set"] = RowSet.HEAD if head else RowSet.CHUNK
    command = int.from_bytes(Command(Opcode.MATMUL, values).encode(), "little")
    sinks = ops, jobs = [
        Sink(port, Stalls(0.6 if stalls else 0.0, rng)) for port in (dut.o_op, dut.o_job)
    ]

    async def bench(ctx) -> None:
        ctx.set(dut.step.rows, 50 if head else rows)
        ctx.set(dut.step.sequences, rows if head else 2)
        for _ in range(2):
            ctx.set(dut.i_command.valid, 1)
            ctx.set(
                dut.i_command.payload.as_value(),
                command & (1 << len(dut.i_command.payload.as_value())) - 1,
            )
            await ctx.tick()
            ctx.set(dut.i_command.valid, 0)
            waited = 1
            while ctx.get(dut.busy):
                if waited == MatmulSchedule.LATENCY:
                    assert ctx.get(dut.o_op.valid)
                else:
                    assert waited > MatmulSchedule.LATENCY or not ctx.get(dut.o_op.valid)
                for sink in sinks:
                    sink.drive(ctx)
                for sink in sinks:
                    sink.settle(ctx)
                await ctx.tick()
                waited += 1

    simulate(dut, bench)
    want_ops, want_jobs = _expected(values, rows)
    for sink, wanted in ((ops, 2 * want_ops), (jobs, 2 * want_jobs)):
        assert len(sink.received) == len(wanted), f"seed {seed}"
        for payload, other in zip(sink.received, wanted, strict=True):
            one = leaves(payload)
            assert one == {**one, **other}, f"seed {seed}"


@pytest.mark.parametrize("words", [0, 32])
def test_operand_words_of_many_slices(words: int) -> None:
    """Without repetition the words go on beyond those that a field of 6 bits counts."""
    dut = MatmulSchedule(config=_CONFIG)
    values = dict(tiles=1, slices=40, output=int(MatmulOutput.GATE), operand=500, post_shift=1)
    values |= dict(operand_words=words, row_set=RowSet.CHUNK)
    command = int.from_bytes(Command(Opcode.MATMUL, values).encode(), "little")
    seen = []

    async def bench(ctx) -> None:
        ctx.set(dut.step.rows, 1)
        ctx.set(dut.o_op.ready, 1)
        ctx.set(dut.o_job.ready, 1)
        bits = len(dut.i_command.payload.as_value())
        ctx.set(dut.i_command.payload.as_value(), command & (1 << bits) - 1)
        ctx.set(dut.i_command.valid, 1)
        await ctx.tick()
        ctx.set(dut.i_command.valid, 0)
        while ctx.get(dut.busy):
            if ctx.get(dut.o_job.valid):
                seen.append(ctx.get(dut.o_job.payload.destination.operand))
            await ctx.tick()

    simulate(dut, bench)
    assert seen == [500 + (2 * n % words if words else 2 * n) for n in range(40)]
