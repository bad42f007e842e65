# SPDX-License-Identifier: Apache-2.0
"""Arbitration, masks, order and latency of the activation memory against a Python model."""

from __future__ import annotations

import random

import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator

from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from rtl_gen.vector.activation_memory import (
    BANK_MODULE,
    WRITE_CLIENTS,
    ActivationMemory,
    bank_verilog,
)
from rtl_gen.vector.bundles import READ_CLIENTS

_WORDS = 12


def _config(width: int) -> AcceleratorConfig:
    return AcceleratorConfig(
        width=width,
        lanes=2,
        rows=2,
        groups=2,
        ports=1,
        activation_words=256,
        max_context=width,
        sequences=2,
        max_head_dim=16,
        norm_channels=width,
        decoder_elements=16,
        dictionary_entries=256,
    )


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("density", [1.0, 0.3])
def test_clients_see_a_memory_with_fixed_priorities(width: int, density: float) -> None:
    seed = 1 + width
    print(f"seed {seed}")
    rng = random.Random(seed)
    config = _config(width)
    dut = ActivationMemory(config=config)
    content = [0] * 256
    answers: dict[str, list[tuple[int, int]]] = {name: [] for name in READ_CLIENTS}
    granted = {name: 0 for name in READ_CLIENTS}

    async def process(ctx):
        reads: dict[str, int | None] = dict.fromkeys(READ_CLIENTS)
        writes: dict[str, tuple[int, int, int] | None] = dict.fromkeys(WRITE_CLIENTS)
        for cycle in range(600):
            stopped = cycle > 580
            for name in READ_CLIENTS:
                if reads[name] is None and not stopped and rng.random() < density:
                    reads[name] = rng.randrange(_WORDS)
                port = getattr(dut, f"i_{name}")
                ctx.set(port.valid, reads[name] is not None)
                ctx.set(port.payload, reads[name] or 0)
            for name in WRITE_CLIENTS:
                if writes[name] is None and not stopped and rng.random() < density:
                    writes[name] = (
                        rng.randrange(_WORDS),
                        rng.getrandbits(width // 16),
                        rng.getrandbits(8 * width),
                    )
                port = getattr(dut, f"i_{name}_write")
                ctx.set(port.valid, writes[name] is not None)
                address, mask, data = writes[name] or (0, 0, 0)
                ctx.set(port.payload, {"address": address, "mask": mask, "data": data})
            for name in READ_CLIENTS:
                output = getattr(dut, f"o_{name}")
                due = answers[name] and answers[name][0][0] == cycle
                assert ctx.get(output.valid) == bool(due), (seed, cycle, name)
                if due:
                    assert ctx.get(output.data) == answers[name].pop(0)[1], (seed, cycle, name)
            first = next((name for name in READ_CLIENTS if reads[name] is not None), None)
            for name in READ_CLIENTS:
                if reads[name] is not None:
                    ready = ctx.get(getattr(dut, f"i_{name}").ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                answers[first].append((cycle + dut.LATENCY, content[reads[first] or 0]))
                granted[first] += 1
                reads[first] = None
            first = next((name for name in WRITE_CLIENTS if writes[name] is not None), None)
            for name in WRITE_CLIENTS:
                if writes[name] is not None:
                    ready = ctx.get(getattr(dut, f"i_{name}_write").ready)
                    assert ready == (name == first), (seed, cycle, name)
            if first is not None:
                address, mask, data = writes[first] or (0, 0, 0)
                writes[first] = None
                for part in range(width // 16):
                    if mask >> part & 1:
                        field = ((1 << 128) - 1) << (128 * part)
                        content[address] = content[address] & ~field | data & field
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(process)
    simulator.run()
    assert not any(answers.values())
    assert granted["operand"] > 100
    if density < 1:
        assert min(granted.values()) > 10


def test_black_box_instances_match_the_bank_module() -> None:
    config = CONFIGURATIONS["zcu102"]
    text = rtlil.convert(ActivationMemory(config=config, black_box=True))
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
