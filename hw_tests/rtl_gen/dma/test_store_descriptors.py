# SPDX-License-Identifier: Apache-2.0
"""Write descriptors of every port for commands of any values, also those that no descriptor can
name.
"""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.commands import Opcode
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.step import Sequence, Step
from rtl_gen.dma.store_descriptors import StoreDescriptors
from rtl_gen.dma.store_share import StoreShare
from rtl_gen.interfaces.command import command_layout

CONFIG = CONFIGURATIONS["small"]
Descriptor = tuple[int, int, int, int]


def expected(
    fields: dict[str, int], rows: int, step: Step, port: int, index: int
) -> list[Descriptor]:
    """(offset, beats, traffic, command) with numbers of any size; 0 beats if one of them does not
    fit.
    """
    ports, size, segments = CONFIG.ports, fields["segment_beats"], fields["segments"]
    run = -(-rows // ports)
    by_segment = segments >= ports
    first, last = (0, rows) if by_segment else (port * run, min(rows, (port + 1) * run))
    descriptors = []
    for segment in range(port, segments, ports) if by_segment else range(segments):
        spans = [(first, last, 0)]
        if fields["cache"]:
            spans = [
                (
                    max(first, entry.first_row),
                    min(last, entry.first_row + entry.tokens),
                    entry.kv_base + (entry.position - entry.first_row) * size,
                )
                for entry in step.sequences
            ]
        for low, high, base in spans:
            if high > low:
                offset = fields["offset"] + segment * fields["segment_stride"] + base + low * size
                beats = (high - low) * size
                fits = offset < 1 << 32 and beats < 1 << 28
                named = (offset % (1 << 32), beats if fits else 0)
                descriptors.append((*named, fields["traffic"], index))
    return descriptors


def draw(rng: random.Random) -> tuple[dict[str, int], int]:
    """Fields of a STORE and its number of rows: small ones, and the largest there are."""
    fields = {
        "offset": rng.choice(
            [rng.randrange(1000), rng.getrandbits(32), (1 << 32) - rng.randrange(1, 400)]
        ),
        "segments": rng.choice([1, 2, 3, 40]),
        "segment_beats": rng.choice([1, 2, 6, 4095]),
        "segment_stride": rng.choice([0, 7, rng.getrandbits(28), (1 << 28) - 1]),
        "cache": rng.randrange(2),
        "traffic": rng.randrange(5),
    }  # fmt: skip
    rows = rng.choice([0, 1, 2, 7, 19])
    if not fields["cache"]:
        rows = rng.choice([rows, (1 << 20) - 1, 1 << 17])
    return fields, rows


def draw_step(rng: random.Random) -> Step:
    sequences, row = [], 0
    for _ in range(rng.randrange(1, CONFIG.sequences + 1)):
        tokens = rng.randrange(1, 9)
        kv_base = rng.choice([rng.randrange(5000), (1 << 32) - 1 - rng.randrange(300)])
        sequences.append(Sequence(kv_base, rng.choice([0, 3, (1 << 20) - 9]), tokens, row))
        row += tokens
    return Step(tuple(sequences))


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize("port", range(CONFIG.ports))
def test_any_values(port: int, stall: float) -> None:
    rng = random.Random(salted(port))
    m = Module()
    m.submodules.share = share = StoreShare(config=CONFIG)
    m.submodules.dut = dut = StoreDescriptors(config=CONFIG)
    m.d.comb += dut.share.eq(share.o[port])
    nothing = [0, 0]

    async def bench(ctx):
        for trial in range(80):
            (fields, rows), step = draw(rng), draw_step(rng)
            index = rng.getrandbits(24)
            common = {"wait": index & 255, "condition": index >> 8 & 255, "flags": index >> 16}
            command = command_layout(Opcode.STORE).const({**fields, **common})
            for target in (share.command, dut.command):
                ctx.set(target, command)
            ctx.set(share.rows, rows)
            ctx.set(dut.step.sequences, len(step.sequences))
            for number, entry in enumerate(step.sequences):
                for name in ("kv_base", "position", "tokens", "first_row"):
                    ctx.set(dut.step.entries[number][name], getattr(entry, name))
            await ctx.tick().repeat(StoreShare.LATENCY)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            seen = []
            while not ctx.get(dut.idle):
                ready = rng.random() >= stall
                ctx.set(dut.o.ready, ready)
                if ready and ctx.get(dut.o.valid):
                    o = ctx.get(dut.o.payload)
                    seen.append((o["offset"], o["beats"], o["traffic"], o["command"]))
                await ctx.tick()
            assert seen == expected(fields, rows, step, port, index), f"trial {trial}, {fields}"
            for descriptor in seen:
                nothing[descriptor[1] == 0] += 1

    simulate(m, bench)
    assert min(nothing) > 100, nothing
