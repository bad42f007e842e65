# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog and manifest of the generated chip."""

from __future__ import annotations

import dataclasses
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
        single = {"config_baseline": {"SOFTMAX": 1}, "config_activation_ram": {"ULTRA": 1}}
        assert bits == single.get(name, named)
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
    assert "\nmodule new; endmodule" in (tmp_path / "meadow.v").read_text()
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


def test_a_name_is_the_beginning_of_all_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = "module meadow_lane(a);\nendmodule\n"
    text = f"module meadow_top(a);\n  meadow_lane lane(a);\nendmodule\n{lane}"
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: text)
    plain, named = tmp_path / "plain", tmp_path / "named"
    reports = []
    for arguments in (["--out", str(plain)], ["--out", str(named), "--name", "left"]):
        result = CliRunner().invoke(app, ["generate", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        reports.append(json.loads(result.stdout))
    assert [report["top"] for report in reports] == ["meadow_top", "left_top"]
    assert reports[1]["parameters"] == CONFIGURATIONS["tiny"].to_dict()
    assert f"\n{text}" in (plain / "meadow.v").read_text()
    assert "\n" + text.replace("meadow_", "left_") in (named / "meadow.v").read_text()
    first, second = (json.loads((out / "manifest.json").read_text()) for out in (plain, named))
    differing = {key for key in first if first[key] != second[key]}
    assert differing == {"top", "verilog_sha256"} and first.keys() == second.keys()
    for path in (path for path in named.rglob("*") if path.is_file()):
        assert b"meadow_top" not in path.read_bytes(), path
        assert "meadow_top" not in path.name
    names = {"left_top.rdl", "left_top.h", "left_top_stub.v", "left_top.f", "left_top.spdx.json"}
    assert names < set(reports[1]["files"])
    assert "#ifndef LEFT_TOP_H\n" in (named / "left_top.h").read_text()
    assert "addrmap left_top {" in (named / "left_top.rdl").read_text()
    assert "toplevel: left_top\n" in (named / "left_top.core").read_text()


@pytest.mark.parametrize(
    "name", ["", "1st", "always_ff", "module", "logic", "two words", "a-b", "x" * 65]
)
def test_a_name_that_is_none_is_one_line_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["generate", "--out", str(out), "--name", name])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("meadow: name must ") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_of_a_file_says_its_name_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: "module new; endmodule")
    (tmp_path / "mine.toml").write_text("base = 'nano'\n[accelerator]\ngroups = 4\n")
    given = ["--config", str(tmp_path / "mine.toml"), "--set", "sequences=2"]
    result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path / "out"), *given])
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["configuration"] == "mine+sequences=2"
    expected = dataclasses.replace(CONFIGURATIONS["nano"], groups=4, sequences=2)
    assert manifest["parameters"] == expected.to_dict()
    assert manifest["contract_hash"] == contract_hash(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["--set", "lanes=64"],
            "configuration tiny with lanes=64: AcceleratorConfig rule 2 * lanes * rows <= width is "
            "broken by 2 * 64 * 2 with width 16",
        ),
        (["--set", "lane=4"], "--set lane=4: unknown parameter 'lane': lanes is meant?"),
        (["--set", "lanes"], "--set must be given KEY=VALUE, not 'lanes'"),
        (
            ["--config", "missing.toml"],
            "configuration missing.toml: No such file or directory",
        ),
        (["--config", "bad.toml"], "configuration bad.toml: it is not TOML: "),
        (
            ["--config", "key.toml"],
            "configuration key.toml: unknown parameter 'lane': lanes is meant?",
        ),
        (["--out", "x" * 300], "cannot write meadow.v: File name too long: "),
        (["--out", "key.toml"], "cannot write meadow.v: Not a directory: key.toml"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    given: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: pytest.fail("too early"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text("lanes = [")
    (tmp_path / "key.toml").write_text("base = 'tiny'\n[accelerator]\nlane = 4\n")
    result = CliRunner().invoke(app, ["generate", "--out", "out", *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"meadow: {message}") and result.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"bad.toml", "key.toml"}


@pytest.mark.parametrize(
    ("hindrance", "reason"),
    [
        ("meadow_top.h", "cannot write meadow_top.h: Is a directory"),
        ("meadow_top.spdx.json", "cannot write meadow_top.spdx.json: Is a directory"),
        ("html", "cannot write html/"),
    ],
)
def test_one_file_that_cannot_be_written_keeps_all_others_back(
    hindrance: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "generated_verilog", lambda *_, **__: "module new; endmodule")
    (tmp_path / "meadow.v").write_text("old")
    if hindrance == "html":
        (tmp_path / hindrance).write_text("old")
    else:
        (tmp_path / hindrance).mkdir()
    result = CliRunner().invoke(app, ["generate", "--out", str(tmp_path)])
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"meadow: {reason}") and "Traceback" not in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"meadow.v", hindrance}
    assert (tmp_path / "meadow.v").read_text() == "old"
