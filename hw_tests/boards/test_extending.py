# SPDX-License-Identifier: Apache-2.0
"""The worked example of a new board is true: it fits, touches few files, and the board is there."""

from __future__ import annotations

from pathlib import Path

from hw_tests.test_floors import violations
from hw_tests.traces import ROOT, apply, copied_sources, differences, run_in, source_files

DOCUMENT = ROOT / "docs" / "extending.md"
MOST_FILES = 6

# Run in the copy: the test of every record, and what a user sees of the board.
SEEN = """
from amaranth.hdl import Module
from typer.testing import CliRunner
from boards.board import named_board
from boards.flow.folder import flow_files
from boards.flow.system import chosen_system
from rtl_gen.export import verilog_ports
from hw_tests.boards.test_board import test_a_record_names_what_there_is
from workbench.devices import Throttle
from meadow.spec.config import CONFIGURATIONS
from workbench.cli import app
from workbench.options import choices
test_a_record_names_what_there_is("lark")
board = named_board("lark")
plan = board.platform().build(Module(), do_build=False)
print(board.part, board.part in str(plan.files["top.tcl"]))
print(Throttle(dram=board.dram[0]).limit_text)
system = chosen_system("lark", "lark", CONFIGURATIONS["lark"])
files = flow_files(system, "top", verilog_ports(system.config))
print(system.mhz, "example.com:lark:part0:*" in files["block_design.tcl"], "fan_enable.v" in files)
output = CliRunner().invoke(app, ["generate", "--help"], env={"COLUMNS": "200"}).output
print(choices(CONFIGURATIONS), choices(CONFIGURATIONS) in output)
"""


def test_a_board_touches_few_files() -> None:
    files = source_files(differences(DOCUMENT, "A board"))
    assert 3 <= len(files) <= MOST_FILES, files


def test_a_board_is_there_when_the_example_is_applied(tmp_path: Path) -> None:
    folder = copied_sources(tmp_path)
    apply(differences(DOCUMENT, "A board"), folder)
    assert violations(folder) == []
    assert run_in(folder, "-c", SEEN).splitlines() == [
        "xczu5ev-sfvc784-1-e True",
        "lark DRAM 76.8 Gbit/s",
        "200 True False",
        "tiny, small, zcu102, zcu102-paper, kv260, nano or lark True",
    ]
