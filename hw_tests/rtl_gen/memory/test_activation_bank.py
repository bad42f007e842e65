# SPDX-License-Identifier: Apache-2.0
"""The bank's Verilog: memories of any number of words, and the instances that ActivationMemory
makes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amaranth.back import rtlil

from hw_tests.cocotb_runner import build_and_test
from hw_tests.unit_config import unit_config
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.verilog import component_ports
from rtl_gen.memory.activation_bank import BANK_MODULE, bank_verilog, blocks
from rtl_gen.memory.activation_memory import ActivationMemory


def _config(words: int) -> AcceleratorConfig:
    config = unit_config(16)
    object.__setattr__(config, "activation_words", words)
    return config


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (256, [256]),
        (4096, [4096]),
        (5 * 1024, [4096, 1024]),
        (8192, [4096] * 2),
        (24 * 1024, [4096] * 6),
        (31 * 1024, [4096] * 7 + [3072]),
    ],
)
def test_blocks(words: int, sizes: list[int]) -> None:
    text = bank_verilog(_config(words))
    assert blocks(_config(words)) == sizes
    found = re.findall(
        r'\(\* ram_style = "block" \*\)\n  reg \[BITS-1:0\] memory\d+ \[0:(\d+)\]', text
    )
    assert [int(last) + 1 for last in found] == sizes


def test_black_box_instances_match_the_bank_module() -> None:
    config = CONFIGURATIONS["zcu102"]
    memory = ActivationMemory(config=config, black_box=True)
    text = rtlil.convert(memory, ports=component_ports(memory))
    assert text.count(f"cell \\{BANK_MODULE} ") == config.word_beats + 1
    widths = re.findall(r"parameter \\BITS (\d+)", text)
    assert sorted(map(int, widths)) == [EXPONENT_BITS] + [128] * config.word_beats
    assert len(text) < 100_000
    module = bank_verilog(config)
    assert f"module {BANK_MODULE}(" in module and "parameter BITS = 128;" in module
    for port in ("read_enable", "read_address", "write_enable", "write_address"):
        width = 1 if port.endswith("enable") else (config.activation_words - 1).bit_length()
        assert f"\\{port} " in text
        assert f"input {'' if width == 1 else f'[{width - 1}:0] '}{port};" in module
    for port in ("clk", "read_data", "write_data"):
        assert f"\\{port} " in text and f" {port}" in module


@pytest.mark.cocotb
@pytest.mark.parametrize("words", [256, 5 * 1024, 7 * 4096])
def test_a_bank_in_verilog(words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANK_WORDS", str(words))  # for the bench
    bench = Path(__file__).with_name("bench_activation_bank.py")
    source = bank_verilog(_config(words))
    assert build_and_test(source, toplevel=BANK_MODULE, module=bench, seed=1) == 1
