# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog and manifest of the generated chip."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meadow.spec.commands import Outputs
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash, reset_values
from meadow.spec.registers import Control, ErrorCode, Status, register_map
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.command import INDEX_BITS
from workbench import generate
from workbench.cli import app
from workbench.exports import folder
from workbench.exports.core import described_core


@pytest.mark.sim
@pytest.mark.parametrize("config", ["tiny", "small"])
def test_the_manifest_describes_the_verilog(config: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = CliRunner().invoke(app, ["generate", "--config", config, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["contract_hash"] == contract_hash(CONFIGURATIONS[config])
    assert report["verilog"] == str(out / "meadow.v")
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(report["files"]) == there >= {"meadow.v", "manifest.json", "meadow_top.core"}
    verilog = (out / "meadow.v").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    chosen = CONFIGURATIONS[config]
    assert manifest["configuration"] == config
    assert manifest["parameters"] == chosen.to_dict()
    assert manifest["contract_hash"] == contract_hash(chosen)
    assert manifest["verilog_sha256"] == hashlib.sha256(verilog.encode()).hexdigest()
    assert len(manifest["registers"]) == len(register_map(chosen))
    header = re.search(rf"module {manifest['top']}\(([^)]*)\)", verilog)
    assert header is not None
    assert contract_hash(chosen) in verilog.splitlines()[1]
    assert {port["name"] for port in manifest["ports"]} == set(re.findall(r"\w+", header[1]))
    body = verilog[header.end() :].split("endmodule", 1)[0]
    declared = re.findall(r"^  (input|output)(?: \[(\d+):0\])? (\w+);", body, re.M)
    assert {(port["direction"], port["width"], port["name"]) for port in manifest["ports"]} == {
        (direction, int(top or 0) + 1, name) for direction, top, name in declared
    }


@pytest.mark.parametrize("config", CONFIGURATIONS)
def test_the_manifest_says_what_every_port_and_bit_is(config: str) -> None:
    chosen = CONFIGURATIONS[config]
    manifest = generate.verilog_manifest(described_core(config, chosen, "any_top"), "")
    assert manifest["top"] == "any_top"
    ports = {port["name"]: port for port in manifest["ports"]}
    assert list(ports)[:2] == ["clk", "rst"]
    assert all(port["role"] and port["interface"] for port in ports.values())
    interfaces = {port["interface"] for port in ports.values()}
    axi = {f"m_axi{index}" for index in range(chosen.ports)} | {"s_axi"}
    assert interfaces == axi | {"clock", "reset", "interrupt", "debug"}
    for name, polarity in (
        ("rst", "active high, synchronous to clk"),
        ("irq", "active high, level"),
    ):
        assert ports[name]["polarity"] == polarity
    for name, role in (
        ("s_axi_awaddr", "AXI4-Lite slave, registers: write address, AWADDR"),
        ("s_axi_rresp", "AXI4-Lite slave, registers: read data, RRESP"),
        ("m_axi0_bready", "AXI4 master, DMA window: write response, BREADY"),
        ("m_axi0_wdata", "AXI4 master, DMA window: write data, WDATA"),
        ("m_axi0_arlen", "AXI4 master, DMA window: read address, ARLEN"),
    ):
        assert ports[name]["role"] == role
    assert ports["activity"]["bits"] == list(activity_items(chosen))
    assert len(ports["activity"]["bits"]) == ports["activity"]["width"]
    units = [unit.name for unit in activity_units(chosen)]
    assert ports["unit_command"]["fields"] == units
    assert INDEX_BITS * len(units) == ports["unit_command"]["width"]
    for name, register in ((r["name"], r) for r in manifest["registers"]):
        bits = {bit["name"]: bit["mask"] for bit in register["fields"]}
        assert all(bit["description"] for bit in register["fields"])
        kinds = {"control": Control, "status": Status, "outputs": Outputs}
        named = {bit.name: bit.value for bit in kinds.get(name, ())}
        if name == "config_codecs":
            named = {"RAW": 1, "DICTIONARY": 2, "RICE": 4}
        assert bits == ({"SOFTMAX": 1} if name == "config_baseline" else named)
        assert register["reset"] == reset_values(chosen)[name]
        if name == "control":
            accesses = {bit["name"]: bit["access"] for bit in register["fields"]}
            assert accesses.pop("INTERRUPT_ENABLE") == "rw" and set(accesses.values()) == {"pulse"}
    codes = {code["name"]: code["value"] for code in manifest["error_codes"]}
    assert codes == {code.name: code.value for code in ErrorCode}


def test_what_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: pytest.fail("too early"))
    (tmp_path / "file").touch()
    (tmp_path / "out" / "meadow.v").mkdir(parents=True)
    for out, message in (
        ("file", f"cannot write meadow.v: Not a directory: {tmp_path / 'file'}"),
        ("file/in", f"cannot write meadow.v: Not a directory: {tmp_path / 'file' / 'in'}"),
        ("out", f"cannot write meadow.v: Is a directory: {tmp_path / 'out' / 'meadow.v'}"),
    ):
        result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path / out)])
        assert (result.exit_code, result.stderr) == (2, f"meadow: {message}\n")


@pytest.mark.parametrize("step", ["generated_verilog", "verilog_manifest"])
def test_a_folder_that_was_not_there_is_not_there_after_a_failure(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: "module new; endmodule")

    def fail(*_: object, **__: object) -> None:
        assert list(tmp_path.iterdir()) == []
        raise ValueError("no")

    monkeypatch.setattr(generate, step, fail)
    result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path / "new" / "out")])
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_a_failed_write_keeps_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: "module new; endmodule")
    monkeypatch.setattr(generate, "verilog_manifest", lambda *_: {"new": True})
    for name in ("meadow.v", "manifest.json", "meadow_top.h", "mine.txt"):
        (tmp_path / name).write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "cannot write meadow.v: No space left on device" in result.stderr
    names = ["manifest.json", "meadow.v", "meadow_top.h", "mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    assert CliRunner().invoke(app, ["generate", "--out", str(tmp_path)]).exit_code == 0
    assert (tmp_path / "meadow.v").read_text().endswith("module new; endmodule")
    assert "old" not in (tmp_path / "meadow_top.h").read_text().splitlines()
    assert (tmp_path / "mine.txt").read_text() == "old"


def test_without_the_exporters_one_line_says_what_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: "module new; endmodule")
    monkeypatch.setattr(generate, "has_exporters", lambda: False)
    monkeypatch.setattr(folder, "has_exporters", lambda: False)
    result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert [line for line in result.stderr.splitlines() if "not written" in line] == [
        folder.MISSING_EXPORTERS
    ]
    assert not (tmp_path / "html").exists() and (tmp_path / "meadow_top.rdl").is_file()


def test_an_unknown_configuration_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["generate", "--config", "huge", "--out", str(out)])
    assert result.exit_code == 2
    assert result.stderr == (
        "meadow: unknown configuration 'huge': choose from tiny, small, zcu102, zcu102-paper, "
        "kv260, nano\n"
    )
    assert not out.exists()
