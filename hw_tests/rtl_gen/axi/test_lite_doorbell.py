# SPDX-License-Identifier: Apache-2.0
"""The register `control` of the register file: start, reset, acknowledge, and the interrupt."""

from __future__ import annotations

import pytest

from hw_tests.rtl_gen.axi.register_bench import (
    CONFIG,
    TAKEN,
    get,
    put,
    report,
    ring,
    run,
    set_step,
)
from meadow.spec.registers import COUNTERS, WATCHDOG_CYCLES, Control, ErrorCode, Refusal, Status
from rtl_gen.interfaces.members import members


def test_run_and_interrupt() -> None:
    async def main(ctx, dut):
        pulses = {"start": 0, "soft_reset": 0, "acknowledge": 0}

        async def command(value: int) -> Refusal:
            rule, seen = await ring(ctx, dut, value, runs=True)
            for name in pulses:
                pulses[name] += seen[name]
            return rule

        enable, start = int(Control.INTERRUPT_ENABLE), int(Control.START)
        await set_step(ctx, dut)
        assert await command(enable | start) == TAKEN
        assert pulses == {"start": 1, "soft_reset": 0, "acknowledge": 0}
        assert await get(ctx, dut, "control") == enable
        assert await get(ctx, dut, "status") == Status.BUSY
        # Busy: only control, and no second doorbell.
        assert await put(ctx, dut, "program", 5) == Refusal.BUSY
        assert await get(ctx, dut, "program") == 0
        assert await command(start) == Refusal.BUSY
        assert await get(ctx, dut, "control") == enable
        assert await command(enable | int(Control.RESET)) == TAKEN
        assert pulses == {"start": 1, "soft_reset": 1, "acknowledge": 0}
        ctx.set(dut.busy, 0)
        ctx.set(dut.done_set, 1)
        await ctx.tick()
        ctx.set(dut.done_set, 0)
        await ctx.tick()
        assert ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == Status.DONE | Status.INTERRUPT
        assert await command(int(Control.ACKNOWLEDGE)) == TAKEN
        assert pulses["acknowledge"] == 1
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == 0
        # The first error is kept, done does not follow it, the doorbell clears it.
        await command(start)
        for code in (ErrorCode.READ_RESPONSE, ErrorCode.STREAM):
            await report(
                ctx,
                dut,
                {
                    "code": int(code),
                    "command": 7 + int(code),
                    "address": 0xAB_0000_1230 + int(code),
                    "port": 0,
                },
            )
        ctx.set(dut.done_set, 1)
        await ctx.tick()
        ctx.set(dut.done_set, 0)
        ctx.set(dut.busy, 0)
        assert await get(ctx, dut, "status") == Status.ERROR
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "error_code") == ErrorCode.READ_RESPONSE
        assert await get(ctx, dut, "error_command") == 10
        assert await get(ctx, dut, "error_address_low") == 0x1233
        assert await get(ctx, dut, "error_address_high") == 0xAB
        assert await command(enable) == TAKEN
        assert ctx.get(dut.interrupt)
        await command(enable | start)
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "error_code") == 0

    run(main)


def test_doorbell_needs_a_step_that_fits() -> None:
    """Else START is refused, and neither it nor what is written with it happens."""
    enable, start = int(Control.INTERRUPT_ENABLE), int(Control.START)
    most, sequences = CONFIG.chunk_tokens, CONFIG.sequences

    async def main(ctx, dut):
        for rows, entries, fits in (
            (0, 1, False),
            (1, 0, False),
            (1, 1, True),
            (most, sequences, True),
            (most + 1, 1, False),
            (0xFFFF, 1, False),
            (1, sequences + 1, False),
            (1, 0xFF, False),
        ):
            await set_step(ctx, dut, rows, entries)
            assert await put(ctx, dut, "control", 0) == TAKEN
            rule, seen = await ring(ctx, dut, start | enable)
            started = seen["start"]
            assert (rule, started) == ((TAKEN, 1) if fits else (Refusal.STEP, 0)), (
                rows,
                entries,
            )
            assert await get(ctx, dut, "control") == (enable if fits else 0)
            # Other bits of the register do not need one.
            assert await put(ctx, dut, "control", int(Control.RESET)) == TAKEN

    run(main)


def test_interrupt_waits_until_the_device_is_ready() -> None:
    """Or until it is stuck; the status shows both."""

    async def main(ctx, dut):
        await put(ctx, dut, "control", int(Control.INTERRUPT_ENABLE))
        assert await get(ctx, dut, "watchdog") == WATCHDOG_CYCLES
        ctx.set(dut.busy, 1)
        await report(ctx, dut, {"code": 3, "command": 2, "address": 0, "port": 0})
        await ctx.tick()
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == Status.BUSY | Status.ERROR
        ctx.set(dut.stuck, 1)
        await ctx.tick()
        assert ctx.get(dut.interrupt)
        stuck = Status.BUSY | Status.ERROR | Status.INTERRUPT | Status.STUCK
        assert await get(ctx, dut, "status") == stuck
        ctx.set(dut.stuck, 0)
        ctx.set(dut.busy, 0)
        await ctx.tick()
        assert ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == Status.ERROR | Status.INTERRUPT
        await put(ctx, dut, "control", int(Control.ACKNOWLEDGE | Control.INTERRUPT_ENABLE))
        assert not ctx.get(dut.interrupt)

    run(main)


@pytest.mark.parametrize("bit", [Control.START, Control.RESET, Control.ACKNOWLEDGE])
def test_what_a_control_bit_clears_and_what_stays(bit: Control) -> None:
    """As docs/register-map.md says of START, RESET and ACKNOWLEDGE, after an error; then after
    done.
    """
    errors = ("code", "command", "address_low", "address_high", "port")
    counted = [f"{name}_low" for name, _ in COUNTERS]

    async def main(ctx, dut):
        await set_step(ctx, dut, 3, 2)
        await put(ctx, dut, "watchdog", 99)
        ctx.set(dut.command_index, 5)
        for name, _ in COUNTERS:
            ctx.set(members(dut.i_counters)[name], 7)
        await ctx.tick()
        for name, _ in COUNTERS:
            ctx.set(members(dut.i_counters)[name], 0)
        fault = {"code": 3, "command": 4, "address": 0xAB_0000_1230, "port": 1}
        for done in (False, True):
            kept = bit is Control.RESET
            if done:
                await put(ctx, dut, "control", int(Control.ACKNOWLEDGE))
                ctx.set(dut.done_set, 1)
                await ctx.tick()
                ctx.set(dut.done_set, 0)
            else:
                await report(ctx, dut, fault)
            held = [0] * 5 if done else [3, 4, 0x1230, 0xAB, 1]
            assert [await get(ctx, dut, f"error_{name}") for name in errors] == held
            ended = Status.DONE if done else Status.ERROR
            assert await get(ctx, dut, "status") == ended
            rule, seen = await ring(ctx, dut, int(bit))
            assert rule == TAKEN
            pulse = {Control.RESET: "soft_reset"}.get(bit, (bit.name or "").lower())
            assert seen == {name: int(name == pulse) for name in seen}
            assert await get(ctx, dut, "status") == (ended if kept else 0)
            assert [await get(ctx, dut, f"error_{name}") for name in errors] == (
                held if kept else [0] * 5
            )
            values = [await get(ctx, dut, name) for name in counted]
            assert values == [0 if bit is Control.START else 7] * len(counted)
            # Neither the index of the sequencer nor what the host wrote is the register file's to
            # clear.
            for name, value in (
                ("command_index", 5),
                ("rows", 3),
                ("sequences", 2),
                ("watchdog", 99),
            ):
                assert await get(ctx, dut, name) == value
            # None of these bits reads back, and a write without INTERRUPT_ENABLE clears that one.
            assert await get(ctx, dut, "control") == 0

    run(main)
