# SPDX-License-Identifier: Apache-2.0
"""`fusesoc run` lints and simulates a core in the folder that `meadow generate` wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cosim.verilator_tool import find_verilator
from hw_tests.workbench.exports.cores import PREFIX, TOP, named_core
from workbench.cli import app
from workbench.exports.fusesoc import fusesoc_core

CONFIGURATION = "nano"


def _written(folder: Path) -> None:
    """What `meadow generate` writes of a core with another name than the usual."""
    words = ["generate", "--config", CONFIGURATION, "--name", PREFIX, "--out", str(folder)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


def _run(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """FuseSoC in another folder than the core's, with the Verilator of the project, which it calls
    by the name `verilator`; make gets the variables that the Python package leaves blank.
    """
    tool = find_verilator()
    programs = folder / "programs"
    programs.mkdir()
    tool.link(programs)
    script = programs / "run"
    script.write_text(
        f'#!/bin/sh\nVERILATOR_ROOT={programs}/verilator exec {programs}/binary "$@"\n', "utf-8"
    )
    script.chmod(0o755)
    (programs / "binary").symlink_to(tool.binary)
    (programs / "path").mkdir()
    (programs / "path" / "verilator").symlink_to(script)
    variables = [v for v in tool.make_variables(str(programs)) if not v.startswith("CURDIR")]
    environment = os.environ | {
        "PATH": f"{programs / 'path'}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join([*variables, "OPT_FAST=-O0"]),
        "XDG_CONFIG_HOME": str(folder / "home"),
        "XDG_DATA_HOME": str(folder / "home"),
    }
    work = folder / "work"
    work.mkdir()
    words = [*("--cores-root", str(folder / "core")), "run", f"--target={target}", TOP]
    return subprocess.run(
        [sys.executable, "-m", "fusesoc.main", *words],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_the_core_file_names_what_is_written() -> None:
    core = named_core(CONFIGURATION)
    text = fusesoc_core(core)
    assert text.startswith("CAPI=2:\n") and core.contract in text
    document = yaml.safe_load(text)
    assert document["name"] == f"meadow:accelerators:{TOP}:{core.version}"
    files = [next(iter(file)) for part in document["filesets"].values() for file in part["files"]]
    assert files == ["meadow.v", f"{TOP}_tb.sv", f"{TOP}.h", f"{TOP}.rdl"]
    assert set(document["targets"]) == {"default", "lint", "sim"}


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.parametrize("target", ["lint", "sim"])
def test_the_target_runs(target: str, tmp_path: Path) -> None:
    _written(tmp_path / "core")
    result = _run(tmp_path, target)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert "%Warning" not in said
    if target == "sim":
        core = named_core(CONFIGURATION)
        count = sum(entry.constant for entry in core.registers)
        assert f"PASSED: {count} registers of {TOP}, contract {core.contract}" in said


@pytest.mark.sim
@pytest.mark.slow
@pytest.mark.parametrize("target", ["lint", "sim"])
def test_a_fault_fails_the_target(target: str, tmp_path: Path) -> None:
    """A port that is not there, or a core of another contract."""
    _written(tmp_path / "core")
    bench, verilog = tmp_path / "core" / f"{TOP}_tb.sv", tmp_path / "core" / "meadow.v"
    if target == "lint":
        verilog.write_text(verilog.read_text("utf-8").replace("input clk;", "", 1), "utf-8")
    else:
        text = bench.read_text("utf-8").replace("32'h4d454144", "32'h4d454145")
        bench.write_text(text, "utf-8")
    result = _run(tmp_path, target)
    assert result.returncode != 0
    if target == "sim":
        assert "FAILED: register at 0x000 is 0x4d454144" in result.stdout + result.stderr
