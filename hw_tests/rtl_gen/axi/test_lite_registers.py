# SPDX-License-Identifier: Apache-2.0
"""The register file against the register map, in Amaranth's simulator."""

from __future__ import annotations

import random

import pytest
from amaranth.sim import Simulator

from hw_tests.seeds import salted
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import (
    COUNTERS,
    MAGIC,
    WATCHDOG_CYCLES,
    Control,
    ErrorCode,
    Status,
    register_map,
    sequence_offset,
)
from rtl_gen.axi.lite_registers import LiteRegisters

OKAY, SLVERR = 0, 2
CONFIG = CONFIGURATIONS["tiny"]
MAP = {register.name: register for register in register_map(CONFIG)}


def simulate(main) -> None:
    dut = LiteRegisters(config=CONFIG)

    async def bench(ctx):
        await main(ctx, dut)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()


async def read(ctx, dut, offset: int, patience: int = 0) -> tuple[int, int]:
    bus = dut.bus
    ctx.set(bus.araddr, offset)
    ctx.set(bus.arvalid, 1)
    ready = False
    while not ready:
        _, _, ready = await ctx.tick().sample(bus.arready)
    ctx.set(bus.arvalid, 0)
    ctx.set(bus.araddr, 0xFFF)
    for _ in range(patience):
        await ctx.tick()
    ctx.set(bus.rready, 1)
    valid = False
    while not valid:
        _, _, valid, data, response = await ctx.tick().sample(bus.rvalid, bus.rdata, bus.rresp)
    ctx.set(bus.rready, 0)
    return data, response


async def write(
    ctx, dut, offset: int, data: int, *, strobes: int = 15, lead: int = 0, patience: int = 0
) -> int:
    """lead > 0: AW comes that many cycles before W; < 0: after it."""
    bus = dut.bus
    ctx.set(bus.awaddr, offset)
    ctx.set(bus.wdata, data)
    ctx.set(bus.wstrb, strobes)
    address_sent = data_sent = False
    cycle = 0
    while not (address_sent and data_sent):
        ctx.set(bus.awvalid, not address_sent and cycle >= -lead)
        ctx.set(bus.wvalid, not data_sent and cycle >= lead)
        _, _, aw, w = await ctx.tick().sample(bus.awvalid & bus.awready, bus.wvalid & bus.wready)
        address_sent, data_sent = address_sent or aw, data_sent or w
        cycle += 1
    ctx.set(bus.awvalid, 0)
    ctx.set(bus.wvalid, 0)
    for _ in range(patience):
        await ctx.tick()
    ctx.set(bus.bready, 1)
    valid = False
    while not valid:
        _, _, valid, response = await ctx.tick().sample(bus.bvalid, bus.bresp)
    ctx.set(bus.bready, 0)
    return response


async def get(ctx, dut, name: str) -> int:
    data, response = await read(ctx, dut, MAP[name].offset)
    assert response == OKAY
    return data


async def put(ctx, dut, name: str, value: int) -> int:
    return await write(ctx, dut, MAP[name].offset, value)


async def set_step(ctx, dut, rows: int = 1, sequences: int = 1) -> None:
    """What a doorbell needs."""
    assert await put(ctx, dut, "rows", rows) == OKAY
    assert await put(ctx, dut, "sequences", sequences) == OKAY


async def ring(ctx, dut, value: int, *, runs: bool = False) -> tuple[int | None, dict[str, int]]:
    """Writes control: the response, and the pulses around it. runs: a program runs from a start
    on.
    """
    bus = dut.bus
    seen = {"start": 0, "soft_reset": 0, "acknowledge": 0}
    for signal, content in (
        (bus.awaddr, MAP["control"].offset),
        (bus.wdata, value),
        (bus.wstrb, 15),
        (bus.awvalid, 1),
        (bus.wvalid, 1),
        (bus.bready, 1),
    ):
        ctx.set(signal, content)
    response = None
    for _ in range(6):
        _, _, valid, code = await ctx.tick().sample(bus.bvalid, bus.bresp)
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        response = code if valid else response
        for name in seen:
            seen[name] += ctx.get(getattr(dut, name))
        if runs and ctx.get(dut.start):
            ctx.set(dut.busy, 1)
    ctx.set(bus.bready, 0)
    return response, seen


def test_identity() -> None:
    async def main(ctx, dut):
        assert await get(ctx, dut, "magic") == MAGIC
        digest = b"".join(
            [(await get(ctx, dut, f"contract_hash{i}")).to_bytes(4, "little") for i in range(8)]
        )
        assert digest.hex() == contract_hash(CONFIG)
        for name, value in CONFIG.to_dict().items():
            assert await get(ctx, dut, f"config_{name}") == value

    simulate(main)


def test_every_offset() -> None:
    """Mapped offsets read OKAY, others SLVERR and 0; only rw ones take a write."""
    mapped = {register.offset: register for register in MAP.values()}

    async def main(ctx, dut):
        for offset in [*range(0, 0x480, 4), 0x101, 0x10A, 0xFFC]:
            _, response = data_response = await read(ctx, dut, offset)
            if offset not in mapped:
                assert data_response == (0, SLVERR)
            else:
                assert response == OKAY
            writable = offset in mapped and mapped[offset].access == "rw"
            if offset != MAP["control"].offset:
                assert await write(ctx, dut, offset, 0) == (OKAY if writable else SLVERR)

    simulate(main)


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
            response = await write(ctx, dut, offset, value, lead=lead, patience=patience)
            assert response == OKAY
            expected[name] = value
            for bit in range(32):
                if not mask >> bit & 1:
                    assert await write(ctx, dut, offset, ~value & mask | 1 << bit) == SLVERR
            assert await write(ctx, dut, offset, ~value & 0xFFFFFFFF, strobes=7) == SLVERR
        for name, value in expected.items():
            data, response = await read(ctx, dut, MAP[name].offset, rng.randrange(3))
            assert (data, response) == (value, OKAY), name
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

    simulate(main)


def test_run_and_interrupt() -> None:
    async def main(ctx, dut):
        pulses = {"start": 0, "soft_reset": 0, "acknowledge": 0}

        async def command(value: int) -> int | None:
            response, seen = await ring(ctx, dut, value, runs=True)
            for name in pulses:
                pulses[name] += seen[name]
            return response

        enable, start = int(Control.INTERRUPT_ENABLE), int(Control.START)
        await set_step(ctx, dut)
        assert await command(enable | start) == OKAY
        assert pulses == {"start": 1, "soft_reset": 0, "acknowledge": 0}
        assert await get(ctx, dut, "control") == enable
        assert await get(ctx, dut, "status") == Status.BUSY
        # Busy: only control, and no second doorbell.
        assert await put(ctx, dut, "program", 5) == SLVERR
        assert await get(ctx, dut, "program") == 0
        assert await command(start) == SLVERR
        assert await get(ctx, dut, "control") == enable
        assert await command(enable | int(Control.RESET)) == OKAY
        assert pulses == {"start": 1, "soft_reset": 1, "acknowledge": 0}
        ctx.set(dut.busy, 0)
        ctx.set(dut.done_set, 1)
        await ctx.tick()
        ctx.set(dut.done_set, 0)
        await ctx.tick()
        assert ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == Status.DONE | Status.INTERRUPT
        assert await command(int(Control.ACKNOWLEDGE)) == OKAY
        assert pulses["acknowledge"] == 1
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "status") == 0
        # The first error is kept, done does not follow it, the doorbell clears it.
        await command(start)
        for code in (ErrorCode.READ_RESPONSE, ErrorCode.STREAM):
            ctx.set(
                dut.error_set,
                {
                    "valid": 1,
                    "code": int(code),
                    "command": 7 + int(code),
                    "address": 0xAB_0000_1230 + int(code),
                    "port": 0,
                },
            )
            await ctx.tick()
        ctx.set(dut.error_set.valid, 0)
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
        assert await command(enable) == OKAY
        assert ctx.get(dut.interrupt)
        await command(enable | start)
        assert not ctx.get(dut.interrupt)
        assert await get(ctx, dut, "error_code") == 0

    simulate(main)


def test_doorbell_needs_a_step_that_fits() -> None:
    """Else START is answered with an error, and neither it nor what is written with it happens."""
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
            assert await put(ctx, dut, "control", 0) == OKAY
            response, seen = await ring(ctx, dut, start | enable)
            started = seen["start"]
            assert (response, started) == ((OKAY, 1) if fits else (SLVERR, 0)), (rows, entries)
            assert await get(ctx, dut, "control") == (enable if fits else 0)
            # Other bits of the register do not need one.
            assert await put(ctx, dut, "control", int(Control.RESET)) == OKAY

    simulate(main)


def test_interrupt_waits_until_the_device_is_ready() -> None:
    """Or until it is stuck; the status shows both."""

    async def main(ctx, dut):
        await put(ctx, dut, "control", int(Control.INTERRUPT_ENABLE))
        assert await get(ctx, dut, "watchdog") == WATCHDOG_CYCLES
        ctx.set(dut.busy, 1)
        ctx.set(dut.error_set, {"valid": 1, "code": 3, "command": 2, "address": 0, "port": 0})
        await ctx.tick()
        ctx.set(dut.error_set.valid, 0)
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

    simulate(main)


def test_counters() -> None:
    async def main(ctx, dut):
        rng = random.Random(salted(1))
        totals = dict.fromkeys((name for name, _ in COUNTERS), 0)
        for _ in range(50):
            for name in totals:
                value = rng.randrange(256)
                ctx.set(getattr(dut, f"increment_{name}"), value)
                totals[name] += value
            await ctx.tick()
        for name in totals:
            ctx.set(getattr(dut, f"increment_{name}"), 0)
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

    simulate(main)


def test_values_after_the_reset_pin() -> None:
    """Everything that can be written is 0, but the watchdog; and so is what the device reports."""

    async def main(ctx, dut):
        for name, register in MAP.items():
            if register.access == "rw" or name in ("status", "error_code", "command_index"):
                assert await get(ctx, dut, name) == (WATCHDOG_CYCLES if name == "watchdog" else 0)

    simulate(main)


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
            ctx.set(getattr(dut, f"increment_{name}"), 7)
        await ctx.tick()
        for name, _ in COUNTERS:
            ctx.set(getattr(dut, f"increment_{name}"), 0)
        fault = {"valid": 1, "code": 3, "command": 4, "address": 0xAB_0000_1230, "port": 1}
        for done in (False, True):
            kept = bit is Control.RESET
            if done:
                await put(ctx, dut, "control", int(Control.ACKNOWLEDGE))
                ctx.set(dut.done_set, 1)
            else:
                ctx.set(dut.error_set, fault)
            await ctx.tick()
            ctx.set(dut.done_set, 0)
            ctx.set(dut.error_set.valid, 0)
            held = [0] * 5 if done else [3, 4, 0x1230, 0xAB, 1]
            assert [await get(ctx, dut, f"error_{name}") for name in errors] == held
            ended = Status.DONE if done else Status.ERROR
            assert await get(ctx, dut, "status") == ended
            response, seen = await ring(ctx, dut, int(bit))
            assert response == OKAY
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

    simulate(main)


def test_latency() -> None:
    async def main(ctx, dut):
        bus = dut.bus
        for signal in (bus.arvalid, bus.awvalid, bus.wvalid, dut.increment_cycles):
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

    simulate(main)
