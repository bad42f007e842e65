# SPDX-License-Identifier: Apache-2.0
"""A host in front of the register file, in Amaranth's simulator. Every answer must be OKAY; what an
access was refused for, it reads from the registers.
"""

from __future__ import annotations

from hw_tests.streams import simulate
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import REFUSED, REFUSED_OFFSET, Refusal, register_map
from rtl_gen.axi.lite_registers import LiteRegisters

__all__ = [
    "CONFIG",
    "MAP",
    "TAKEN",
    "get",
    "put",
    "read",
    "refusal",
    "report",
    "ring",
    "run",
    "send",
    "set_step",
    "write",
]

TAKEN = Refusal(0)
"""Of an access that was not refused."""
_OKAY = 0
CONFIG = CONFIGURATIONS["tiny"]
MAP = {register.name: register for register in register_map(CONFIG)}


def run(main) -> None:
    """Simulate `main(context, register file)`."""
    dut = LiteRegisters(config=CONFIG)

    async def bench(ctx):
        await main(ctx, dut)

    simulate(dut, bench)


async def read(ctx, dut, offset: int, patience: int = 0) -> int:
    """Data; RREADY comes `patience` cycles after the address."""
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
    assert response == _OKAY
    return data


async def refusal(ctx, dut, offset: int) -> Refusal:
    """What the last access, of `offset`, was refused for; it is forgotten."""
    rule = Refusal(await read(ctx, dut, REFUSED))
    if rule:
        assert rule.bit_count() == 1 and await read(ctx, dut, REFUSED_OFFSET) == offset
        await send(ctx, dut, REFUSED, int(rule))
        assert await read(ctx, dut, REFUSED) == 0
    return rule


async def write(ctx, dut, offset: int, data: int, **named: int) -> Refusal:
    """As `send`: what the write was refused for."""
    await send(ctx, dut, offset, data, **named)
    return await refusal(ctx, dut, offset)


async def send(
    ctx, dut, offset: int, data: int, *, strobes: int = 15, lead: int = 0, patience: int = 0
) -> None:
    """Writes.

    lead: AW comes that many cycles before W, if negative after it. patience: cycles before BREADY.
    """
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
    assert response == _OKAY


async def get(ctx, dut, name: str) -> int:
    """The value of a register."""
    return await read(ctx, dut, MAP[name].offset)


async def put(ctx, dut, name: str, value: int) -> Refusal:
    """Writes a register: what it was refused for."""
    return await write(ctx, dut, MAP[name].offset, value)


async def set_step(ctx, dut, rows: int = 1, sequences: int = 1) -> None:
    """What a doorbell needs."""
    assert await put(ctx, dut, "rows", rows) == TAKEN
    assert await put(ctx, dut, "sequences", sequences) == TAKEN


async def report(ctx, dut, error: dict[str, int]) -> None:
    """The program ends with `error`."""
    ctx.set(dut.i_error.payload, error)
    ctx.set(dut.i_error.valid, 1)
    await ctx.tick()
    ctx.set(dut.i_error.valid, 0)


async def ring(ctx, dut, value: int, *, runs: bool = False) -> tuple[Refusal, dict[str, int]]:
    """Writes control: what it was refused for, and the pulses around it. runs: a program runs from
    a start on.
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
    assert response == _OKAY
    return await refusal(ctx, dut, MAP["control"].offset), seen
