# SPDX-License-Identifier: Apache-2.0
"""Arbitration, masks, exponents, order and latency of the activation memory against a model."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Unit
from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.memory import READ_CLIENTS, WRITE_CLIENTS
from rtl_gen.memory.activation_memory import ActivationMemory

_WORDS = 12


def _config(width: int, words: int) -> AcceleratorConfig:
    return unit_config(width, activation_words=words)


_READ_EDGE = {name: 3 + len(READ_CLIENTS) - k - 1 for k, name in enumerate(READ_CLIENTS)}
_WRITE_EDGE = {name: len(WRITE_CLIENTS) - k for k, name in enumerate(WRITE_CLIENTS)}
"""Cycles from a transfer to the cycle in which the RAM is read or written."""


def test_a_read_after_a_write_sees_it() -> None:
    """Whoever writes is not slower on the way to the RAM than anyone who reads."""
    latency = ActivationMemory.READ_LATENCY
    assert latency == {"operand": 9, "writer": 8, "vector": 7, "storer": 6}
    assert max(_WRITE_EDGE.values()) <= min(_READ_EDGE.values())
    overtakes = max(_READ_EDGE.values()) - min(_WRITE_EDGE.values()) - 1
    assert overtakes == ActivationMemory.OVERTAKES


@pytest.mark.parametrize("words", [256, 5 * 1024])
@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_clients_see_a_memory_with_fixed_priorities(width: int, density: float, words: int) -> None:
    """Every client is ready exactly in the cycles in which no client of higher priority has taken
    the slot that passes it, whoever is valid then.
    """
    seed = 1 + width
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = _config(width, words)
    dut = ActivationMemory(config=config)
    whole = (1 << config.word_beats) - 1
    content, exponents = [0] * words, [0] * words
    lowest = [rng.randrange(words - _WORDS), words - _WORDS][density < 1]
    answers: dict[str, list[tuple[int, int, int]]] = {name: [] for name in READ_CLIENTS}
    partial = 0  # writes of a part of a word that has an exponent
    granted = {name: 0 for name in READ_CLIENTS}
    sampled: dict[int, tuple[str, int]] = {}  # by the cycle in which the RAM is read
    stored: dict[int, dict[str, int]] = {}
    full: dict[str, set[int]] = {"read": set(), "write": set()}  # slots

    def read_and_write(cycle: int) -> None:
        """What the RAM does at the end of `cycle`."""
        nonlocal partial
        if cycle in sampled:
            name, address = sampled.pop(cycle)
            due = cycle + 3  # RAM, output register, choice
            answers[name].append((due, content[address], exponents[address]))
        if cycle in stored:
            write = stored.pop(cycle)
            address = write["address"]
            for part in range(width // 16):
                if write["mask"] >> part & 1:
                    field = ((1 << 128) - 1) << (128 * part)
                    content[address] = content[address] & ~field | write["data"] & field
            if write["mask"] == whole:
                exponents[address] = write["exponent"]
            else:
                partial += exponents[address] != write["exponent"]

    async def process(ctx):
        read_ports, write_ports = members(dut.i_read), members(dut.i_write)
        reads: dict[str, int | None] = dict.fromkeys(READ_CLIENTS)
        writes: dict[str, dict[str, int] | None] = dict.fromkeys(WRITE_CLIENTS)
        for cycle in range(600):
            stopped = cycle > 570
            for name in READ_CLIENTS:
                if reads[name] is None and not stopped and rng.random() < density:
                    reads[name] = lowest + rng.randrange(_WORDS)
                port = read_ports[name].address
                ctx.set(port.valid, reads[name] is not None)
                ctx.set(port.payload, reads[name] or 0)
            for name in WRITE_CLIENTS:
                if writes[name] is None and not stopped and rng.random() < density:
                    writes[name] = {
                        "address": lowest + rng.randrange(_WORDS),
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
            for place, name in enumerate(READ_CLIENTS):
                free = cycle - place not in full["read"]
                assert ctx.get(read_ports[name].address.ready) == free, (seed, cycle, name)
                address = reads[name]
                if address is not None and free:
                    full["read"].add(cycle - place)
                    sampled[cycle + _READ_EDGE[name]] = name, address
                    granted[name] += 1
                    reads[name] = None
            for place, name in enumerate(WRITE_CLIENTS):
                free = cycle - place not in full["write"]
                assert ctx.get(write_ports[name].word.ready) == free, (seed, cycle, name)
                write = writes[name]
                if write is not None and free:
                    full["write"].add(cycle - place)
                    stored[cycle + _WRITE_EDGE[name]] = write
                    writes[name] = None
            assert reads["operand"] is None and writes["writer"] is None, "never refused"
            read_and_write(cycle)
            await ctx.tick()

    simulate(dut, process)
    assert not any(answers.values()) and not sampled and not stored
    assert granted["operand"] > 100
    assert partial > 20
    if density < 1:
        assert min(granted.values()) > 10
    else:
        assert granted["operand"] == 571, "a read per cycle"


_UNIT_OF = {
    "operand": Unit.ARRAY,
    "writer": Unit.ARRAY,
    "vector": Unit.VECTOR,
    "loader": Unit.LOADER,
    "storer": Unit.STORER,
}


@pytest.mark.parametrize("words", [256, 5 * 1024])
@pytest.mark.parametrize("seed", range(3))
def test_words_outside(seed: int, words: int) -> None:
    """They name the unit and the array's command, are answered like others, and nothing is
    written.
    """
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = _config(16, words)
    dut = ActivationMemory(config=config)
    outside = [words, words + 1, 2 * words - 1, 2 * words, 8192, (1 << 20) - 1, (1 << 20) - words]

    async def process(ctx):
        read_ports, write_ports = members(dut.i_read), members(dut.i_write)
        for port in write_ports.values():
            ctx.set(port.word.payload, {"address": 0, "mask": 1, "data": 0})
        content: dict[int, int] = {}
        land: dict[int, tuple[int, int]] = {}  # by the cycle in which the RAM is written
        due: dict[int, tuple[int, int]] = {}  # cycle: Unit bits, command of the array
        reads = several = 0
        for cycle in range(800):
            bits = command = 0
            for clients, writes in ((read_ports, False), (write_ports, True)):
                for name, client in clients.items():
                    port = client.word if writes else client.address
                    valid = rng.random() < 0.3 and cycle < 780
                    stray = rng.random() < 0.3
                    address = rng.choice(outside) if stray else rng.randrange(words)
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
                    if not valid or not ctx.get(port.ready):
                        continue
                    reads += not writes
                    if stray:
                        bits |= int(_UNIT_OF[name])
                        if _UNIT_OF[name] == Unit.ARRAY:
                            command = index  # writes come last here, and are of earlier commands
                    if writes and not stray:
                        land[cycle + _WRITE_EDGE[name]] = address, data
            due[cycle + ActivationMemory.ERROR_LATENCY] = bits, command
            content |= dict([land.pop(cycle)] if cycle in land else [])
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


@pytest.mark.parametrize("words", [256, 3 * 256, 13 * 256, 6 * 4096, 13 * 4096])
def test_the_last_word_and_the_first_outside(words: int) -> None:
    """The bound is exact for every client, in a memory of any size."""
    dut = ActivationMemory(config=_config(16, words))
    places = [words - 1, words, words - 2, words + 1, words - 256, words + 255]

    async def process(ctx):
        ports = [
            *((name, client.address, False) for name, client in members(dut.i_read).items()),
            *((name, client.word, True) for name, client in members(dut.i_write).items()),
        ]
        for name, port, writes in ports:
            for number, place in enumerate(places):
                word = {"address": place, "mask": 1, "data": number + 1, "exponent": number + 1}
                ctx.set(port.payload, word if writes else place)
                ctx.set(port.valid, 1)
                assert ctx.get(port.ready)
                await ctx.tick()
                ctx.set(port.valid, 0)
                for _ in range(dut.ERROR_LATENCY - 1):
                    await ctx.tick()
                expected = int(_UNIT_OF[name]) if place >= words else 0
                assert ctx.get(dut.o_outside) == expected, (name, place)
                for _ in range(12):
                    await ctx.tick()
            if writes:
                for number, place in enumerate(places):
                    if place < words:
                        assert ctx.get(dut.banks[0].data[place]) == number + 1
                        assert ctx.get(dut.exponents.data[place]) == number + 1

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
