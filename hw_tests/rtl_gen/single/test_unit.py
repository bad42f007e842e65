# SPDX-License-Identifier: Apache-2.0
"""Verilog of units alone: the same bytes anywhere, clean in Verilator and Yosys, and equal to the
golden model.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random

import pytest

from hw_tests.marks import long, slow
from hw_tests.rtl_gen.decoder.decoder_load import CODECS, Load, load_of
from hw_tests.rtl_gen.dma.controller_bench import some_commands
from hw_tests.rtl_gen.single.units_bench import attend, decode, move
from hw_tests.seeds import salted
from hw_tests.verilator_lint import warnings
from meadow.spec.config import AcceleratorConfig, named_config
from rtl_gen.blocks.prefix import with_prefix
from rtl_gen.single.unit import SINGLE_UNITS, single_name, single_verilog

_TINY = named_config("tiny")
_SCRIPT = """
import hashlib, sys
from meadow.spec.config import named_config
from rtl_gen.single.unit import single_verilog
print(hashlib.sha256(single_verilog(sys.argv[1], named_config("tiny")).encode()).hexdigest())
"""


@cache
def _verilog(unit: str, config: AcceleratorConfig) -> str:
    return single_verilog(unit, config)


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_the_same_bytes_in_another_process(unit: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, unit],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONHASHSEED": "4321", "PYTHONPATH": str(Path(__file__).parents[3]), "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    digest = hashlib.sha256(_verilog(unit, _TINY).encode()).hexdigest()
    assert result.stdout.strip() == digest


@pytest.mark.parametrize("config", ["tiny", slow("small"), long("kv260"), slow("nano")])
@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_verilator_has_no_warning(unit: str, config: str) -> None:
    assert warnings(_verilog(unit, named_config(config)), top=single_name(unit)) == []


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_yosys_reads_it_and_finds_no_problem(unit: str, tmp_path: Path) -> None:
    """No latch, no loop, no wire without a driver or with two."""
    text = _verilog(unit, _TINY)
    (tmp_path / "unit.v").write_text(text, "utf-8")
    from pyosys import libyosys

    design = libyosys.Design()
    for command in (
        f"read_verilog {tmp_path / 'unit.v'}",
        f"hierarchy -check -top {single_name(unit)}",
        "proc",
        "select -assert-none t:$dlatch",
        "check -assert",
    ):
        libyosys.run_pass(command, design)


def test_a_prefix_renames_every_module() -> None:
    text = with_prefix(_verilog("attention", _TINY), "mine")
    modules = re.findall(r"^module \\?(\S+?) ?\(", text, re.M)
    own = ["mine_attention", "mine_lane", "mine_clock_gate"]
    assert [name for name in modules if "." not in name] == own
    assert all(name.startswith("mine_") for name in modules)


@pytest.mark.sim
def test_the_decoder_unpacks_every_codec_as_golden_does() -> None:
    loads = [load_of(codec, _TINY, 3, slices=2, tiles=2) for codec in CODECS]
    everything = Load(_TINY, Random(salted(52)), producer=0.3, consumer=0.8)
    for codec in CODECS:
        everything.add_load(load_of(codec, _TINY, 4, slices=1, tiles=1))
        everything.add_cache(rows=7, segment_beats=1, column_beats=0)
    decode(_TINY, [*loads, everything])


@pytest.mark.sim
@pytest.mark.parametrize("stalls", [False, True], ids=["free", "stalls"])
@pytest.mark.parametrize(
    ("spans", "head_dim"), [([(0, 3)], 16), ([(20, 2), (0, 5)], 32)], ids=["short", "blocks"]
)
def test_the_attention_engine_attends_as_golden_does(
    spans: list[tuple[int, int]], head_dim: int, stalls: bool
) -> None:
    attend(_TINY, spans, head_dim=head_dim, stalls=stalls)


@pytest.mark.sim
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_the_dma_controller_moves_what_golden_moves(stall: float) -> None:
    commands, step = some_commands(_TINY, Random(salted(53)))
    move(_TINY, commands, step, stall=stall)
