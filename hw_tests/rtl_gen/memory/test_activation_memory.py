# SPDX-License-Identifier: Apache-2.0
"""Arbitration, masks, exponents, order and latency of the activation memory against a model."""

from __future__ import annotations

import random
import re

import pytest
from amaranth.back import rtlil

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Unit
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.numerics import EXPONENT_BITS
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
    whole = (1 << config.word_beats) - 1
    content, exponents = [0] * 256, [0] * 256
    answers: dict[str, list[tuple[int, int, int]]] = {name: [] for name in READ_CLIENTS}
    partial = 0  # writes of a part of a word that has an exponent
    granted = {name: 0 for name in READ_CLIENTS}

    async def process(ctx):
        nonlocal partial
        read_ports, write_ports = members(dut.i_read), members(dut.i_write)
        reads: dict[str, int | None] = dict.fromkeys(READ_CLIENTS)
        writes: dict[str, dict[str, int] | None] = dict.fromkeys(WRITE_CLIENTS)
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
                    writes[name] = {
                        "address": rng.randrange(_WORDS),
                        "mask": rng.choice([whole, rng.randrange(whole + 1)]),
                        "exponent": rng.choice([0, 7, rng.randrange(8)]),
                        "data": rng.getrandbits(8 * width),
                    }
                port = write_ports[name].word
                ctx.set(port.valid, writes[name] is not None)
                ctx.set(port.payload, writes[name] or {})
            for name in READ_CLIENTS:
                output = read_ports[name].data
                due = answers[name] and answers[name][0][0] == cycle
                assert ctx.get(output.valid) == bool(due), (seed, cycle, name)
                if due:
                    seen = ctx.get(output.payload), ctx.get(read_ports[name].exponent)
                    assert seen == answers[name].pop(0)[1:], (seed, cycle, name)
            first = next((name for name in READ_CLIENTS if reads[name] is not None), None)
            for name in READ_CLIENTS:
                if reads[name] is not None:
                    ready = ctx.get(read_ports[name].address.ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                address = reads[first] or 0
                answer = cycle + dut.LATENCY, content[address], exponents[address]
                answers[first].append(answer)
                granted[first] += 1
                reads[first] = None
            first = next((name for name in WRITE_CLIENTS if writes[name] is not None), None)
            for name in WRITE_CLIENTS:
                if writes[name] is not None:
                    ready = ctx.get(write_ports[name].word.ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                write = writes[first] or {}
                address = write["address"]
                writes[first] = None
                for part in range(width // 16):
                    if write["mask"] >> part & 1:
                        field = ((1 << 128) - 1) << (128 * part)
                        content[address] = content[address] & ~field | write["data"] & field
                if write["mask"] == whole:
                    exponents[address] = write["exponent"]
                else:
                    partial += exponents[address] != write["exponent"]
            await ctx.tick()

    simulate(dut, process)
    assert not any(answers.values())
    assert granted["operand"] > 100
    assert partial > 20
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
                        exponent = data % 8
                        word = {"address": address, "mask": 1, "data": data, "exponent": exponent}
                        ctx.set(port.payload, word)
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
            assert ctx.get(dut.exponents.data[address]) == data % 8, (seed, address)

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
    assert text.count(f"cell \\{BANK_MODULE} ") == config.word_beats + 1
    widths = re.findall(r"parameter \\BITS (\d+)", text)
    assert sorted(map(int, widths)) == [EXPONENT_BITS] + [128] * config.word_beats
    assert len(text) < 100_000
    module = bank_verilog(config)
    assert f"module {BANK_MODULE}(" in module and "[0:32767]" in module
    assert "parameter BITS = 128;" in module
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
