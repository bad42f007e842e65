# SPDX-License-Identifier: Apache-2.0
"""Arbitration, masks, order and latency of the activation memory against a Python model."""

from __future__ import annotations

import random

import pytest
from amaranth.back import rtlil

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Unit
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.blocks.verilog import component_ports
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.memory import READ_CLIENTS, WRITE_CLIENTS
from rtl_gen.memory.activation_memory import BANK_MODULE, ActivationMemory, bank_verilog

_WORDS = 12


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_clients_see_a_memory_with_fixed_priorities(width: int, density: float) -> None:
    seed = 1 + width
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = unit_config(width)
    dut = ActivationMemory(config=config)
    content = [0] * 256
    answers: dict[str, list[tuple[int, int]]] = {name: [] for name in READ_CLIENTS}
    granted = {name: 0 for name in READ_CLIENTS}

    async def process(ctx):
        read_ports, write_ports = members(dut.i_read), members(dut.i_write)
        reads: dict[str, int | None] = dict.fromkeys(READ_CLIENTS)
        writes: dict[str, tuple[int, int, int] | None] = dict.fromkeys(WRITE_CLIENTS)
        for cycle in range(600):
            stopped = cycle > 580
            for name in READ_CLIENTS:
                if reads[name] is None and not stopped and rng.random() < density:
                    reads[name] = rng.randrange(_WORDS)
                port = read_ports[name].address
                ctx.set(port.valid, reads[name] is not None)
                ctx.set(port.payload, reads[name] or 0)
            for name in WRITE_CLIENTS:
                if writes[name] is None and not stopped and rng.random() < density:
                    writes[name] = (
                        rng.randrange(_WORDS),
                        rng.getrandbits(width // 16),
                        rng.getrandbits(8 * width),
                    )
                port = write_ports[name].word
                ctx.set(port.valid, writes[name] is not None)
                address, mask, data = writes[name] or (0, 0, 0)
                ctx.set(port.payload, {"address": address, "mask": mask, "data": data})
            for name in READ_CLIENTS:
                output = read_ports[name].data
                due = answers[name] and answers[name][0][0] == cycle
                assert ctx.get(output.valid) == bool(due), (seed, cycle, name)
                if due:
                    assert ctx.get(output.payload) == answers[name].pop(0)[1], (seed, cycle, name)
            first = next((name for name in READ_CLIENTS if reads[name] is not None), None)
            for name in READ_CLIENTS:
                if reads[name] is not None:
                    ready = ctx.get(read_ports[name].address.ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                answers[first].append((cycle + dut.LATENCY, content[reads[first] or 0]))
                granted[first] += 1
                reads[first] = None
            first = next((name for name in WRITE_CLIENTS if writes[name] is not None), None)
            for name in WRITE_CLIENTS:
                if writes[name] is not None:
                    ready = ctx.get(write_ports[name].word.ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                address, mask, data = writes[first] or (0, 0, 0)
                writes[first] = None
                for part in range(width // 16):
                    if mask >> part & 1:
                        field = ((1 << 128) - 1) << (128 * part)
                        content[address] = content[address] & ~field | data & field
            await ctx.tick()

    simulate(dut, process)
    assert not any(answers.values())
    assert granted["operand"] > 100
    if density < 1:
        assert min(granted.values()) > 10


_UNIT_OF = {
    "operand": Unit.ARRAY,
    "writer": Unit.ARRAY,
    "vector": Unit.VECTOR,
    "loader": Unit.LOADER,
    "storer": Unit.STORER,
}


@pytest.mark.parametrize("seed", range(3))
def test_words_outside(seed: int) -> None:
    """They name the unit and the array's command, are answered like others, and nothing is
    written.
    """
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = unit_config(16)
    dut = ActivationMemory(config=config)
    outside = [256, 257, 511, 512, 4096, (1 << 20) - 1, (1 << 20) - 256]

    async def process(ctx):
        read_ports, write_ports = members(dut.i_read), members(dut.i_write)
        for port in write_ports.values():
            ctx.set(port.word.payload, {"address": 0, "mask": 1, "data": 0})
        content: dict[int, int] = {}
        due: dict[int, tuple[int, int]] = {}  # cycle: Unit bits, command of the array
        reads = several = 0
        for cycle in range(800):
            bits = command = 0
            for clients, writes in ((read_ports, False), (write_ports, True)):
                free = True
                for name, client in clients.items():
                    port = client.word if writes else client.address
                    valid = rng.random() < 0.3 and cycle < 780
                    stray = rng.random() < 0.3
                    address = rng.choice(outside) if stray else rng.randrange(256)
                    data = rng.getrandbits(128)
                    ctx.set(port.valid, valid)
                    index = rng.getrandbits(24)
                    if _UNIT_OF[name] == Unit.ARRAY:
                        ctx.set(client.command, index)
                    if writes:
                        ctx.set(port.payload, {"address": address, "mask": 1, "data": data})
                    else:
                        ctx.set(port.payload, address)
                    if not valid or not free:
                        continue
                    free = False
                    reads += not writes
                    if stray:
                        bits |= int(_UNIT_OF[name])
                        if _UNIT_OF[name] == Unit.ARRAY:
                            command = index  # writes come last here, and are of earlier commands
                    if writes and not stray:
                        content[address] = data
            due[cycle + ActivationMemory.ERROR_LATENCY] = bits, command
            seen = ctx.get(dut.o_outside), ctx.get(dut.o_outside_command)
            assert seen == due.get(cycle, (0, 0)), (seed, cycle)
            several += bits.bit_count() > 1
            reads -= sum(ctx.get(client.data.valid) for client in read_ports.values())
            await ctx.tick()
        assert reads == 0
        assert several > 10 and sum(command != 0 for _, command in due.values()) > 50
        for address, data in content.items():
            assert ctx.get(dut.banks[0].data[address]) == data, (seed, address)

    simulate(dut, process)


def test_active_follows_a_transfer() -> None:
    dut = ActivationMemory(config=unit_config(16))

    async def process(ctx):
        for port in (dut.i_read.storer.address, dut.i_write.loader.word):
            ctx.set(port.valid, 1)
            assert not ctx.get(dut.o_active)
            await ctx.tick()
            ctx.set(port.valid, 0)
            assert ctx.get(dut.o_active)
            await ctx.tick()

    simulate(dut, process)


def test_black_box_instances_match_the_bank_module() -> None:
    config = CONFIGURATIONS["zcu102"]
    memory = ActivationMemory(config=config, black_box=True)
    text = rtlil.convert(memory, ports=component_ports(memory))
    assert text.count(f"cell \\{BANK_MODULE} ") == config.word_beats
    assert len(text) < 100_000
    module = bank_verilog(config)
    assert f"module {BANK_MODULE}(" in module and "[0:32767]" in module
    for port in (
        "clk",
        "read_enable",
        "read_address",
        "read_data",
        "write_enable",
        "write_address",
        "write_data",
    ):
        assert f"\\{port} " in text and f" {port}" in module
