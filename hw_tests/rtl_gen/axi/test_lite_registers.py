# SPDX-License-Identifier: Apache-2.0
"""The register file against the register map, in Amaranth's simulator: what is where, what can be
written, counters.
"""

from __future__ import annotations

import random

import pytest

from hw_tests.rtl_gen.axi.register_bench import (
    CONFIG,
    MAP,
    TAKEN,
    get,
    put,
    read,
    refusal,
    run,
    set_step,
    write,
)
from hw_tests.seeds import salted
from meadow.spec.contract import contract_hash, reset_values
from meadow.spec.parameters import register_values
from meadow.spec.registers import COUNTERS, MAGIC, WATCHDOG_CYCLES, Control, Refusal, sequence_offset
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.interfaces.members import members


def test_identity() -> None:
    async def main(ctx, dut):
        assert await get(ctx, dut, "magic") == MAGIC
        digest = b"".join(
            [(await get(ctx, dut, f"contract_hash{i}")).to_bytes(4, "little") for i in range(8)]
        )
        assert digest.hex() == contract_hash(CONFIG)
        for name, value in register_values(CONFIG).items():
            assert await get(ctx, dut, f"config_{name}") == value

    run(main)


def test_reset_values() -> None:
    """After reset every register reads what the contract says."""

    async def main(ctx, dut):
        assert {name: await get(ctx, dut, name) for name in MAP} == reset_values(CONFIG)

    run(main)


def test_every_offset() -> None:
    """Where no register is, a read is refused and gives 0; only rw ones take a write."""
    mapped = {register.offset: register for register in MAP.values()}

    async def main(ctx, dut):
        for offset in [*range(0, 0x480, 4), 0x101, 0x10A, 0xFFC]:
            data = await read(ctx, dut, offset)
            rule = await refusal(ctx, dut, offset)
            assert rule == (TAKEN if offset in mapped else Refusal.NO_REGISTER)
            assert not (rule and data)
            writable = offset in mapped and mapped[offset].access != "ro"
            if offset != MAP["control"].offset:
                for strobes in (15, 3, 0):
                    rule = await write(ctx, dut, offset, 0, strobes=strobes)
                    taken = TAKEN if strobes == 15 else Refusal.PARTIAL
                    assert rule == (taken if writable else Refusal.NOT_WRITABLE)

    run(main)


@pytest.mark.parametrize("seed", range(3))
def test_values(seed: int) -> None:
    """What is written comes out at the pins and reads back, in any order of AW and W; bits beyond
    are refused.
    """
    print(f"seed={seed}")
    bits = {"rows": 16, "sequences": 8, "outputs": 4, "head_all": 1, "window_base_high": 8}
    fields = {"kv_base": 32, "position": 20, "tokens": 16, "first_row": 16}
    for index in range(CONFIG.sequences):
        bits |= {f"sequence{index}_{name}": width for name, width in fields.items()}
    masks = {name: (1 << width) - 1 for name, width in bits.items()}
    masks["window_base_low"] = 0xFFFFF000

    async def main(ctx, dut):
        rng = random.Random(salted(seed))
        expected = {}
        names = [n for n, register in MAP.items() if register.access == "rw" and n != "control"]
        rng.shuffle(names)
        for name in names:
            mask = masks.get(name, 0xFFFFFFFF)
            value = rng.getrandbits(32) & mask
            lead, patience = rng.randrange(-3, 4), rng.randrange(3)
            offset = MAP[name].offset
            rule = await write(ctx, dut, offset, value, lead=lead, patience=patience)
            assert rule == TAKEN
            expected[name] = value
            for bit in range(32):
                if not mask >> bit & 1:
                    rule = await write(ctx, dut, offset, ~value & mask | 1 << bit)
                    assert rule == Refusal.BITS
            rule = await write(ctx, dut, offset, ~value & 0xFFFFFFFF, strobes=7)
            assert rule == Refusal.PARTIAL
        for name, value in expected.items():
            assert await read(ctx, dut, MAP[name].offset, rng.randrange(3)) == value, name
        base = expected["window_base_high"] << 32 | expected["window_base_low"]
        assert ctx.get(dut.window_base) == base
        assert ctx.get(dut.program) == expected["program"]
        assert ctx.get(dut.program_length) == expected["program_length"]
        assert ctx.get(dut.window_beats) == expected["window_beats"]
        assert ctx.get(dut.watchdog) == expected["watchdog"]
        step = ctx.get(dut.step)
        for name in ("rows", "sequences", "outputs", "head_all"):
            assert step[name] == expected[name]
        for index in range(CONFIG.sequences):
            for name in fields:
                assert step["entries"][index][name] == expected[f"sequence{index}_{name}"]
                offset = MAP[f"sequence{index}_{name}"].offset
                assert sequence_offset(index, name) == offset

    run(main)


def test_counters() -> None:
    async def main(ctx, dut):
        rng = random.Random(salted(1))
        totals = dict.fromkeys((name for name, _ in COUNTERS), 0)
        for _ in range(50):
            for name in totals:
                value = rng.randrange(256)
                ctx.set(members(dut.i_counters)[name], value)
                totals[name] += value
            await ctx.tick()
        for name in totals:
            ctx.set(members(dut.i_counters)[name], 0)
        await ctx.tick().repeat(LiteRegisters.counter_latency)
        for name, total in totals.items():
            assert await get(ctx, dut, f"{name}_low") == total
            assert await get(ctx, dut, f"{name}_high") == 0
        await set_step(ctx, dut)
        ctx.set(dut.command_index, 0x12345678)
        assert await get(ctx, dut, "command_index") == 0x12345678
        await put(ctx, dut, "control", int(Control.START))
        for name in totals:
            assert await get(ctx, dut, f"{name}_low") == 0

    run(main)


def test_values_after_the_reset_pin() -> None:
    """Everything that can be written is 0, but the watchdog; and so is what the device reports."""

    async def main(ctx, dut):
        for name, register in MAP.items():
            if register.access != "ro" or name in ("status", "error_code", "command_index"):
                assert await get(ctx, dut, name) == (WATCHDOG_CYCLES if name == "watchdog" else 0)

    run(main)


def test_nothing_is_taken_in_the_cycle_after_reset() -> None:
    async def main(ctx, dut):
        bus = dut.bus
        ready = bus.arready, bus.awready, bus.wready
        assert not any(map(ctx.get, ready))
        await ctx.tick()
        assert all(map(ctx.get, ready))

    run(main)


def test_latency() -> None:
    async def main(ctx, dut):
        bus = dut.bus
        await ctx.tick()
        for signal in (bus.arvalid, bus.awvalid, bus.wvalid, dut.i_counters.cycles):
            ctx.set(signal, 1)
        seen = {}
        for cycle in range(1, 6):
            await ctx.tick()
            for signal in (bus.arvalid, bus.awvalid, bus.wvalid):
                ctx.set(signal, 0)
            for name in ("rvalid", "bvalid"):
                if ctx.get(getattr(bus, name)):
                    seen.setdefault(name, cycle)
        assert seen == {
            "rvalid": LiteRegisters.read_latency,
            "bvalid": LiteRegisters.write_latency,
        }

    run(main)
