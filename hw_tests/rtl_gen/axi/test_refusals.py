# SPDX-License-Identifier: Apache-2.0
"""What the register file says of the accesses that it refuses: the first one, until it is cleared."""

from __future__ import annotations

import pytest

from hw_tests.rtl_gen.axi.register_bench import (
    CONFIG,
    MAP,
    TAKEN,
    get,
    read,
    run,
    send,
    write,
)
from hw_tests.streams import simulate
from meadow.spec.registers import Control, Refusal
from rtl_gen.axi.refusals import Refusals

_START = int(Control.START)
_WRITES = {
    "busy": (Refusal.BUSY, "rows", 1, 15, 1, 1),
    "busy before bits": (Refusal.BUSY, "rows", 1 << 16, 15, 1, 1),
    "start of a busy device": (Refusal.BUSY, "control", _START, 15, 1, 1),
    "no start of a busy device": (TAKEN, "control", int(Control.RESET), 15, 1, 1),
    "clearing of a busy device": (TAKEN, "refused", 1, 15, 1, 1),
    "part before busy": (Refusal.PARTIAL, "rows", 1, 7, 1, 1),
    "part of control": (Refusal.PARTIAL, "control", _START, 1, 0, 1),
    "bits": (Refusal.BITS, "rows", 1 << 16, 15, 0, 1),
    "bits of control": (Refusal.BITS, "control", 16, 15, 1, 1),
    "bits before step": (Refusal.BITS, "control", 16 | _START, 15, 0, 0),
    "bits of refused": (Refusal.BITS, "refused", 64, 15, 0, 1),
    "step": (Refusal.STEP, "control", _START, 15, 0, 0),
    "busy before step": (Refusal.BUSY, "control", _START, 15, 1, 0),
    "start": (TAKEN, "control", _START, 15, 0, 1),
    "read-only": (Refusal.NOT_WRITABLE, "magic", 0, 15, 0, 1),
    "read-only before part": (Refusal.NOT_WRITABLE, "refused_offset", 0, 1, 1, 1),
}


@pytest.mark.parametrize("name", _WRITES)
def test_the_first_rule_that_a_write_breaks_is_told(name: str) -> None:
    rule, register, word, strobes, busy, startable = _WRITES[name]
    dut = Refusals(config=CONFIG)

    async def bench(ctx):
        for signal, value in (
            (dut.write, 1),
            (dut.write_offset, MAP[register].offset),
            (dut.write_word, word),
            (dut.write_full, strobes == 15),
            (dut.busy, busy),
            (dut.startable, startable),
        ):
            ctx.set(signal, value)
        await ctx.tick()
        ctx.set(dut.write, 0)
        assert ctx.get(dut.rules) == 0
        await ctx.tick().repeat(Refusals.latency - 1)
        assert ctx.get(dut.rules) == rule
        assert ctx.get(dut.offset) == (MAP[register].offset if rule else 0)

    simulate(dut, bench)


@pytest.mark.parametrize("refused", [False, True])
def test_of_a_read_and_a_write_the_write_is_told(refused: bool) -> None:
    dut = Refusals(config=CONFIG)
    written = MAP["magic" if refused else "program"].offset

    async def bench(ctx):
        ctx.set(dut.write_offset, written)
        ctx.set(dut.write_full, 1)
        ctx.set(dut.read_offset, 0xFFC)
        for signal in (dut.read, dut.write):
            ctx.set(signal, 1)
        await ctx.tick()
        for signal in (dut.read, dut.write):
            ctx.set(signal, 0)
        await ctx.tick()
        told = ctx.get(dut.rules), ctx.get(dut.offset)
        assert told == ((Refusal.NOT_WRITABLE, written) if refused else (1, 0xFFC))

    simulate(dut, bench)


def test_the_first_is_kept_until_its_bit_is_cleared() -> None:
    async def main(ctx, dut):
        refused = {
            Refusal.NOT_WRITABLE: (0x104, lambda: send(ctx, dut, 0x104, 0)),
            Refusal.NO_REGISTER: (0xFFC, lambda: read(ctx, dut, 0xFFC)),
        }
        for rule, (offset, access) in refused.items():
            await access()
            for _, other in refused.values():
                await other()
            ctx.set(dut.busy, 1)
            # Nothing but 1 at the bit clears it: not 0, not other bits, not control.
            for name, value in (
                ("refused", 0),
                ("refused", 63 ^ rule),
                ("control", int(Control.RESET | Control.ACKNOWLEDGE)),
            ):
                await send(ctx, dut, MAP[name].offset, value)
                assert await get(ctx, dut, "refused") == rule
                assert await get(ctx, dut, "refused_offset") == offset
            await send(ctx, dut, MAP["refused"].offset, 63)
            ctx.set(dut.busy, 0)
            assert await get(ctx, dut, "refused") == 0
            assert await get(ctx, dut, "refused_offset") == offset
            assert await write(ctx, dut, 0x3C, 0) == Refusal.NOT_WRITABLE

    run(main)
