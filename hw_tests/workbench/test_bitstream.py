# SPDX-License-Identifier: Apache-2.0
"""`meadow bitstream`: a folder that holds everything, all of it or nothing, and one line where
Vivado is missing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.board import BOARDS
from boards.flow.folder import CORE_INSTANCES
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from workbench import bitstream
from workbench.bitstream import NEEDS_VIVADO
from workbench.cli import app

CHIP = "module meadow_top; endmodule\n"


@pytest.fixture(autouse=True)
def no_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chip that takes no time, and no Vivado, whatever the machine has."""
    monkeypatch.setattr(bitstream, "generated_verilog", lambda *_, **__: CHIP)
    monkeypatch.setattr(bitstream.shutil, "which", lambda _: None)


@pytest.mark.parametrize("board", BOARDS)
def test_the_folder_holds_everything(board: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    words = ["bitstream", "--board", board, "--out", str(out), "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    config = CONFIGURATIONS[BOARDS[board].config_name]
    assert report["configuration"] == BOARDS[board].config_name
    assert report["contract_hash"] == contract_hash(config)
    assert report["built"] is False and report["folder"] == str(out)
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(report["files"]) == there
    assert there >= {"LICENSE", "README.md", "build.sh", "build.tcl", "meadow.v", "meadow_ip.v"}
    assert there >= {"package/overlay.dtso", "package/shell.json", "package/design.json"}
    manifest = json.loads((out / "manifest.json").read_text())
    verilog = (out / "meadow.v").read_bytes()
    assert manifest["verilog_sha256"] == hashlib.sha256(verilog).hexdigest()
    facts = json.loads((out / "package" / "design.json").read_text())
    assert all(report[name] == value for name, value in facts.items())


def test_a_configuration_clock_and_buffer_can_be_asked_for(tmp_path: Path) -> None:
    words = ["--board", "kv260", "--set", "lanes=4", "--clock-mhz", "187.5", "--buffer-mib", "9"]
    result = CliRunner().invoke(app, ["bitstream", *words, "--out", str(tmp_path), "--json"])
    report = json.loads(result.stdout)
    assert report["configuration"] == "kv260+lanes=4" and report["parameters"]["lanes"] == 4
    assert report["clock_hz"] == 187_500_000 and report["buffer"]["bytes"] == 9 << 20


def test_power_has_the_activity_of_a_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(bitstream, "switching_activity", lambda *a: seen.append(a) or "(SAIFILE)")
    words = ["--board", "zcu102", "--config", "tiny", "--activity", "run.fst", "--json"]
    result = CliRunner().invoke(app, ["bitstream", *words, "--out", str(tmp_path)])
    assert "activity.saif" in json.loads(result.stdout)["files"]
    assert (tmp_path / "activity.saif").read_text() == "(SAIFILE)"
    assert seen == [(Path("run.fst"), 150_000_000, CORE_INSTANCES)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "No such file or directory: "), ("file", " holds no waveforms: ")],
)
def test_waveforms_that_are_none_leave_nothing(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no waves")
    words = ["--board", "zcu102", "--activity", str(tmp_path / name), "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(app, ["bitstream", *words])
    assert result.exit_code == 2 and message in result.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_vivado_one_line_says_what_is_needed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["bitstream", "--board", "zcu102", "--config", "tiny", "--out", str(out), "--run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0 and result.stdout == ""
    told = NEEDS_VIVADO.format(folder=out, script="build.sh")
    assert result.stderr.splitlines()[-1] == told and (out / "build.sh").is_file()


@pytest.mark.parametrize(("code", "exit_code"), [(0, 0), (7, 2)])
def test_with_vivado_the_flow_runs(
    code: int, exit_code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bitstream.shutil, "which", lambda tool: f"/opt/{tool}")
    seen = []

    class Done:
        returncode = code

    monkeypatch.setattr(bitstream.subprocess, "run", lambda *a, **k: seen.append((a, k)) or Done())
    words = ["bitstream", "--board", "zcu102", "--config", "tiny", "--out", str(tmp_path), "--run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == exit_code
    assert seen == [((["sh", "build.sh"],), {"cwd": tmp_path})]
    if code:
        told = f"meadow: the flow has ended with exit code 7: see {tmp_path / 'build'}"
        assert result.stderr.splitlines()[-1] == told


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    out = tmp_path / "new" / "out"
    words = ["bitstream", "--board", "kv260", "--config", "tiny", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == []
