# SPDX-License-Identifier: Apache-2.0
"""The black box has the ports of the top module."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cosim.verilator_tool import find_verilator
from hw_tests.workbench.exports.cores import TOP, named_core
from meadow.spec.config import CONFIGURATIONS
from workbench.exports.stub import verilog_stub


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_every_port_is_there(configuration: str) -> None:
    core = named_core(configuration)
    text = verilog_stub(core)
    ports = re.findall(r"^    (input|output) wire(?: \[(\d+):0\])? (\w+),?$", text, re.M)
    assert [(direction, int(top or 0) + 1, name) for direction, top, name in ports] == [
        (port["direction"], port["width"], port["name"]) for port in core.ports
    ]
    assert f"(* black_box, blackbox *)\nmodule {TOP} (" in text
    assert core.contract in text


def test_verilator_reads_it(tmp_path: Path) -> None:
    (tmp_path / "stub.v").write_text(verilog_stub(named_core("tiny")), "utf-8")
    tool = find_verilator()
    tool.link(tmp_path)
    command = [tool.binary, "--lint-only", "--language", "1364-2005", "--top-module", TOP, "stub.v"]
    result = subprocess.run(
        command, cwd=tmp_path, env=tool.environment(), capture_output=True, text=True
    )
    assert (result.returncode, "Warning" in result.stderr) == (0, False), result.stderr
