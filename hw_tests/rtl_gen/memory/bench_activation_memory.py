# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the activation memory around its banks: words that the loader writes, whole and
in parts, as the storer reads them.
"""

from __future__ import annotations

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from hw_tests.unit_config import unit_config
from rtl_gen.interfaces.memory import READ_CLIENTS, WRITE_CLIENTS, memory_write_layout
from rtl_gen.memory.activation_memory import ActivationMemory

_WORDS = 5 * 256
_ROUNDS = 250
_WAIT = 12
"""Cycles until a write has been done and a read answered."""


@cocotb.test()
async def parts_and_exponents_of_words_are_kept_apart(dut) -> None:
    rng = random.Random(cocotb.RANDOM_SEED)
    config = unit_config(int(os.environ["MEMORY_WIDTH"]), activation_words=_WORDS)
    layout, whole = memory_write_layout(config), (1 << config.word_beats) - 1
    Clock(dut.clk, 10, unit="ns").start()
    for name in READ_CLIENTS:
        getattr(dut, f"i_read__{name}__address__valid").value = 0
    for name in WRITE_CLIENTS:
        getattr(dut, f"i_write__{name}__word__valid").value = 0
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    places = [0, 1, 255, 256, _WORDS - 2, _WORDS - 1]
    content: dict[int, tuple[int, int]] = {}
    parts = 0
    for _ in range(_ROUNDS):
        place, data = rng.choice(places), rng.getrandbits(8 * config.width)
        exponent = rng.randrange(8)
        mask = rng.choice([whole, rng.randint(0, whole)]) if place in content else whole
        word = {"address": place, "mask": mask, "data": data, "exponent": exponent}
        dut.i_write__loader__word__payload.value = layout.const(word).as_bits()
        dut.i_write__loader__word__valid.value = 1
        await RisingEdge(dut.clk)
        dut.i_write__loader__word__valid.value = 0
        for _ in range(_WAIT):
            await RisingEdge(dut.clk)
        old, kept = content.get(place, (0, 0))
        for part in range(config.word_beats):
            if mask >> part & 1:
                field = ((1 << 128) - 1) << 128 * part
                old = old & ~field | data & field
        content[place] = old, exponent if mask == whole else kept
        parts += mask not in (0, whole)

        place = rng.choice([place, rng.choice(list(content))])
        dut.i_read__storer__address__payload.value = place
        dut.i_read__storer__address__valid.value = 1
        await RisingEdge(dut.clk)
        dut.i_read__storer__address__valid.value = 0
        answered = 0
        for cycle in range(_WAIT):
            await ReadOnly()
            if int(dut.i_read__storer__data__valid.value):
                seen = (
                    int(dut.i_read__storer__data__payload.value),
                    int(dut.i_read__storer__exponent.value),
                )
                assert seen == content[place], (place, mask)
                assert cycle + 1 == ActivationMemory.READ_LATENCY["storer"]
                answered += 1
            await RisingEdge(dut.clk)
        assert answered == 1
    assert parts > 20 or whole == 1
