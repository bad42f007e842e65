# SPDX-License-Identifier: Apache-2.0
"""The bank's Verilog: memories of any number of words, and the instances that ActivationMemory
makes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from amaranth.back import rtlil

from boards.device import device_of
from boards.synthesis.counts import counts
from hw_tests.boards.synthesis.synthesised import synthesised
from hw_tests.cocotb_runner import build_and_test
from hw_tests.unit_config import unit_config
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.verilog import component_ports, convert_component
from rtl_gen.interfaces.dma import BEAT_BITS
from rtl_gen.memory.activation_bank import (
    BANK_MODULE,
    ULTRA_BITS,
    ULTRA_EXPONENT,
    bank_verilog,
    blocks,
)
from rtl_gen.memory.activation_memory import ActivationMemory


def _config(words: int, ram: str = "block") -> AcceleratorConfig:
    return unit_config(16, activation_words=words, activation_ram=ram)


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (256, [256]),
        (4096, [4096]),
        (5 * 1024, [4096, 1024]),
        (8192, [4096] * 2),
        (24 * 1024, [4096] * 6),
        (31 * 1024, [4096] * 7 + [3072]),
        (52 * 1024, [4096] * 13),
    ],
)
@pytest.mark.parametrize("ram", ["block", "ultra"])
def test_blocks(words: int, sizes: list[int], ram: str) -> None:
    text = bank_verilog(_config(words, ram))
    assert blocks(_config(words, ram)) == sizes
    found = re.findall(
        rf'\(\* ram_style = "{ram}" \*\)\n  reg \[BITS-1:0\] memory\d+ \[0:(\d+)\]', text
    )
    assert [int(last) + 1 for last in found] == sizes
    assert text.count("ram_style") == len(sizes) and "URAM" not in text and "initial" not in text


def test_a_bank_of_ultra_ram_has_the_exponent_in_a_column_of_its_own() -> None:
    assert ULTRA_BITS == 2 * 72 and ULTRA_EXPONENT % 9 == 0
    assert BEAT_BITS <= ULTRA_EXPONENT <= ULTRA_BITS - EXPONENT_BITS
    config = CONFIGURATIONS["kv260"]
    memory = ActivationMemory(config=config, black_box=True)
    text = rtlil.convert(memory, ports=component_ports(memory))
    assert text.count(f"cell \\{BANK_MODULE} ") == config.word_beats
    assert set(re.findall(r"parameter \\BITS (\d+)", text)) == {str(ULTRA_BITS)}
    assert "input [1:0] write_enable;" in bank_verilog(config)


@pytest.mark.slow
def test_yosys_makes_52_ultra_rams_of_kv260s_memory_and_no_block_ram(tmp_path: Path) -> None:
    """By the attribute alone; its device has 64."""
    config = CONFIGURATIONS["kv260"]
    memory = ActivationMemory(config=config, black_box=True)
    found = counts(synthesised(memory, tmp_path, verilog=bank_verilog(config)))
    assert (found["uram"], found["ramb36"], found["lutram"], found["dsp"]) == (52, 0, 0, 0)
    assert found["uram"] <= device_of("kv260").limits["uram"]


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
@pytest.mark.parametrize("ram", ["block", "ultra"])
@pytest.mark.parametrize("width", [16, 32, 64])
def test_words_of_several_banks_in_verilog(
    width: int, ram: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory around the banks: every part of a word is its own, and so is the exponent."""
    monkeypatch.setenv("MEMORY_WIDTH", str(width))  # for the bench
    config = unit_config(width, activation_words=5 * 256, activation_ram=ram)
    memory = ActivationMemory(config=config, black_box=True)
    text = convert_component(memory, name="memory", ports=component_ports(memory))
    bench = Path(__file__).with_name("bench_activation_memory.py")
    source = "\n".join((text, bank_verilog(config)))
    assert build_and_test(source, toplevel="memory", module=bench, seed=1) == 1


@pytest.mark.cocotb
@pytest.mark.parametrize("ram", ["block", "ultra"])
@pytest.mark.parametrize("words", [256, 5 * 256, 5 * 1024, 13 * 4096])
def test_a_bank_in_verilog(words: int, ram: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANK_WORDS", str(words))  # for the bench
    bench = Path(__file__).with_name("bench_activation_bank.py")
    source = bank_verilog(_config(words, ram))
    assert build_and_test(source, toplevel=BANK_MODULE, module=bench, seed=1) == 1
