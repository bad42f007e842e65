# SPDX-License-Identifier: Apache-2.0
"""The files of the flow: always the same bytes, no template's marks, plain text; what build.sh does
with tools that only pretend.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from boards.flow.folder import SCRIPT_NAME, flow_files
from hw_tests.boards.flow.folders import CASES, TOP, case_system, write_folder
from hw_tests.boards.flow.overlays import needs_dtc
from rtl_gen.export import verilog_ports


@pytest.mark.parametrize(("board", "name"), CASES)
def test_files_are_plain_and_always_the_same(board: str, name: str) -> None:
    system = case_system(board, name)
    files = flow_files(system, TOP, verilog_ports(system.config))
    assert files == flow_files(system, TOP, verilog_ports(system.config))
    for path, text in files.items():
        assert text.isascii() and text.endswith("\n") and "\r" not in text, path
        assert not any(mark in text for mark in ("{%", "%}", "{#", "{{", "}}")), path
        assert path.endswith((".json", ".bif")) or "SPDX-License-Identifier" in text, path
    assert ("fan_enable.v" in files) == (board == "kv260")


def test_the_loaders_file_is_what_it_reads(tmp_path: Path) -> None:
    folder = write_folder(case_system("kv260", "tiny"), tmp_path / "flow")
    # Xilinx dfx-mgr README.md, and common/firmware/shell.json of kria-vitis-platforms
    shell = json.loads((folder / "package" / "shell.json").read_text())
    assert shell == {"shell_type": "XRT_FLAT", "num_slots": "1"}


def _tool(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _build(folder: Path, tools: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / SCRIPT_NAME)],
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Tools that write what the real ones would."""
    folder = tmp_path / "tools"
    folder.mkdir()
    _tool(
        folder,
        "vivado",
        'test "$*" = "-mode batch -nojournal -log build/vivado.log -source '
        'build.tcl" || exit 9\ntouch package/$(cat name).bit package/$(cat name).xsa',
    )
    _tool(
        folder,
        "bootgen",
        'test "$*" = "-arch zynqmp -process_bitstream bin -w -image '
        'bitstream.bif" || exit 9\nfile=$(sed -n "s/.*= pl] //p" bitstream.bif)\n'
        "test -f $file && echo bits > $file.bin",
    )
    return folder


@needs_dtc
@pytest.mark.parametrize("board", ["zcu102", "kv260"])
def test_the_script_makes_what_the_board_needs(board: str, tools: Path, tmp_path: Path) -> None:
    system = case_system(board, "tiny")
    folder = write_folder(system, tmp_path / "a flow")
    (folder / "name").write_text(system.name)
    done = _build(folder, tools)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"package/{system.name} is ready for the board\n"
    made = {path.name for path in (folder / "package" / system.name).iterdir()}
    assert made == {system.firmware, f"{system.name}.dtbo", "shell.json", "design.json"}


def test_a_missing_tool_is_told(tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "tiny"), tmp_path / "flow")
    done = _build(folder, tmp_path)
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("build.sh needs vivado of Vivado 2023.2 to 2025.2 on PATH")


def test_a_tool_that_fails_ends_the_script(tools: Path, tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "tiny"), tmp_path / "flow")
    _tool(tools, "vivado", "exit 5")
    assert _build(folder, tools).returncode == 5
    _tool(tools, "vivado", "exit 0")
    _tool(tools, "bootgen", "exit 0")
    done = _build(folder, tools)
    assert done.returncode == 1 and done.stderr.startswith("bootgen has not written meadow-zcu102")
