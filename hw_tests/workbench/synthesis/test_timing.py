# SPDX-License-Identifier: Apache-2.0
"""`meadow timing`: its report, limits that a block must keep, and a slow path that was planted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boards.synthesis.chip_blocks import Block
from boards.synthesis.netlist import Cell, Netlist
from boards.timing import limits
from hw_tests.boards.timing.cells import CLOCK, flip_flop, lut
from hw_tests.marks import long
from hw_tests.test_floors import ROOT
from hw_tests.workbench.commands import meadow
from meadow.spec.config import named_config
from workbench.synthesis import timing
from workbench.synthesis.timing import timing_report

QUICK = ("parameter_buffer", "loader", "storer", "fetch", "memory_port", "array_control")
"""Blocks whose synthesis takes seconds for `tiny`."""

CHIP = {
    "sender": Netlist(
        "sender",
        [flip_flop("sent", "0", 1, reset=2)],
        {"clk": [CLOCK], "rst": [2]},
        {"o": [1]},
    ),
    "taker": Netlist("taker", [flip_flop("taken", 1, 2)], {"clk": [CLOCK], "i": [1]}, {}),
}


@pytest.fixture
def two_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip of two blocks and a LUT, instead of a synthesised one."""
    cells = [
        Cell("sender", {"clk": [CLOCK], "rst": [3]}, {"o": [1]}, name="a"),
        lut(1, "0", o=2),
        Cell("taker", {"clk": [CLOCK], "i": [2]}, {}, name="b"),
    ]
    top = Netlist("top", cells, {"clk": [CLOCK], "rst": [3]}, {})
    found = {
        name: (Block(name=name, copies=1, text=""), netlist)
        for name, netlist in {**CHIP, "top": top}.items()
    }

    def netlists(*_: object, names: object = None, **__: object) -> dict:
        return {name: entry for name, entry in found.items() if names is None or name in names}

    monkeypatch.setattr(timing, "netlists", netlists)


def test_the_report_names_both_ends_of_a_path_between_blocks(two_blocks: None) -> None:
    report = json.loads(meadow("timing", "--json", "--paths", 2).stdout)
    assert {block["name"] for block in report["blocks"]} == {"sender", "taker", "top"}
    taker = next(block for block in report["blocks"] if block["name"] == "taker")
    first, budget = taker["paths"]
    assert first["start"] == "a: sent" and first["end"] == "b: taken.D"
    assert (first["start_file"], first["start_line"]) == ("rtl_gen/sent.py", 1)
    assert (first["file"], first["line"]) == ("rtl_gen/taken.py", 1)
    assert first["model"] == "full" and first["levels"] == 1
    assert first["ns"] == pytest.approx(0.08 + 0.30 + 0.10 + 0.30 + 0.05)
    assert budget["model"] == "budget" and budget["end"] == first["end"]
    assert "modelled" in report["label"] and "synthesised" in report["label"]


def test_the_report_sums_up_what_is_slowest(two_blocks: None) -> None:
    report = json.loads(meadow("timing", "--json").stdout)
    full = 0.6 + 0.30 + 0.10
    assert report["worst"]["full_ns"] == pytest.approx(full)  # the pin rst
    assert report["worst"]["budget_ns"] == pytest.approx(0.6 + 0.20 + 0.10)
    assert report["mhz"]["full"] == pytest.approx(1000 / full, abs=0.1)
    assert report["resets"]["loads"] == 1 and report["resets"]["blocks"][0]["name"] == "sender"
    assert all(block["within"] for block in report["blocks"])


def test_a_block_alone_is_told_from_the_chip(two_blocks: None) -> None:
    report = json.loads(meadow("timing", "--json", "--block", "taker").stdout)
    (block,) = report["blocks"]
    assert block["paths"][0]["start"] == "input i[0]" and "the block alone" in report["assumed"]
    assert block["worst"]["full_ns"] == pytest.approx(0.6 + 0.30 + 0.05)


def test_the_table_says_what_exceeds_its_limit(
    two_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "EXCEEDED" not in meadow("timing").stdout
    monkeypatch.setattr(limits, "LIMITS", {"taker": {"budget": 0.5}})
    shown = meadow("timing").stdout
    assert shown.count("EXCEEDED") == 1 and "modelled" in shown


@pytest.mark.slow
@pytest.mark.parametrize("block", QUICK)
def test_a_quick_block_keeps_its_limits(block: str) -> None:
    report = timing_report("tiny", named_config("tiny"), blocks=[block], most=3)
    (entry,) = report["blocks"]
    assert entry["within"], entry
    assert len(entry["paths"]) == 6 and entry["paths"][0]["ns"] > 1
    assert any(str(path["file"]).startswith("rtl_gen/") for path in entry["paths"])


@pytest.mark.parametrize("name", [long("tiny"), long("zcu102")])
def test_every_block_keeps_its_limits(name: str) -> None:
    report = timing_report(name, named_config(name), most=3)
    assert [entry for entry in report["blocks"] if not entry["within"]] == []
    assert report["resets"]["loads"] <= report["resets"]["limit"], report["resets"]


_PLANTED = """
from pathlib import Path
from boards.synthesis.chip_blocks import chip_texts, cut
from boards.synthesis.flow import synthesise
from boards.synthesis.netlist import Netlist
from boards.timing.chip import block_timing
from boards.timing.delays import FULL
from meadow.spec.config import named_config
config = named_config("tiny")
folder = Path("work")
folder.mkdir()
synthesise(cut(*chip_texts(config), config).blocks["parameter_buffer"], folder)
path = block_timing(Netlist.read(folder / "netlist.json"), FULL, 1).paths[0]
print(f"{path.ns:.3f} {path.end_place} {path.end}")
"""


@pytest.mark.slow
def test_a_planted_slow_path_is_found_with_its_file_and_line(tmp_path: Path) -> None:
    """The parameter buffer sums up its word before it gives it out."""
    for folder in ("boards", "meadow", "rtl_gen"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    source = tmp_path / "rtl_gen" / "array" / "parameter_buffer.py"
    text = source.read_text("utf-8")
    good = "m.d.sync += output.as_value().eq(word)"
    assert text.count(good) == 1
    slow = "m.d.sync += output.as_value().eq(word + (word ^ (word << 3))[::-1])"
    source.write_text(text.replace(good, slow), "utf-8")
    line = text[: text.index("output = Signal(")].count("\n") + 1
    done = subprocess.run(
        [sys.executable, "-c", _PLANTED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    ns, place, end = done.stdout.split()[-3:]
    assert place == f"rtl_gen/array/parameter_buffer.py:{line}", done.stdout
    assert end.startswith("output[") and float(ns) > 2.5
