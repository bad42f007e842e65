# SPDX-License-Identifier: Apache-2.0
"""The published runs are commands that `meadow` takes; how their reports are kept and where the
tables go.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import workbench.bench.command
from workbench.bench.model import BenchOptions
from workbench.cli import app
from workbench.devices import Throttle
from workbench.documents import measurements
from workbench.documents.measurements import DOCUMENTS, checkout_commit, load, main
from workbench.documents.runs import (
    CHAT_RUNS,
    DEMO_RUNS,
    NAMES,
    PACKING_RUNS,
    RUNS,
    command_line,
)

COMMIT = "0123abc"
REPORT = {"cycles": 10, "array_utilisation": 0.5, "bandwidth_utilisation": 0.25}
STORED = {"commit": COMMIT, **REPORT}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(measurements, "FOLDER", tmp_path / "docs" / "measurements")
    monkeypatch.setattr(measurements, "checkout_commit", lambda: COMMIT)
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


@pytest.mark.parametrize("name", RUNS)
def test_every_run_is_a_command_that_is_understood(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen: list[tuple[BenchOptions, Throttle]] = []

    def bench(options: BenchOptions, throttle: Throttle, **_: object) -> dict[str, Any]:
        seen.append((options, throttle))
        raise typer.Exit(0)

    monkeypatch.setattr(workbench.bench.command, "bench", bench)
    words = shlex.split(command_line(name))
    assert words[:2] == ["meadow", "bench"] and words[-1] == "--json"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    options, throttle = seen[0]
    compared = re.match(r"ttft-|meadow-|decode-\d+-", name)
    for_use = "tiny" if name.endswith("-tiny") else "zcu102"
    assert options.chosen.name == ("zcu102-paper" if compared else for_use)
    if name.startswith("ttft"):
        model, codec = name.removeprefix("ttft-"), name.rsplit("-", 1)[1]
        assert model.startswith(options.workload) and options.codec == codec
        assert (
            f"-{throttle.bandwidth_gbps:g}-{options.dataflow}-" in name
            and throttle.clock_mhz == 100
        )


@pytest.mark.parametrize("name", [*DEMO_RUNS, *CHAT_RUNS])
def test_a_run_of_a_model_is_a_command_too(name: str, tmp_path: Path) -> None:
    words = shlex.split(command_line(name))
    assert words[:2] == ["meadow", "run"] and words[-1] == "--json"
    here = [str(tmp_path) if word.startswith("SMOLLM2") else word for word in words[1:]]
    result = CliRunner().invoke(app, [*here, "--device", "none"])
    assert result.exit_code == 2 and "unknown device 'none'" in result.stderr


@pytest.mark.parametrize("name", PACKING_RUNS)
def test_a_run_of_packing_is_a_command_too(name: str) -> None:
    words = shlex.split(command_line(name))
    assert words[0] == "meadow" and words[1] in ("report", "ablation") and words[-1] == "--json"
    result = CliRunner().invoke(app, [*words[1:], "--config", "none"])
    assert result.exit_code == 2 and "unknown configuration 'none'" in result.stderr


class Bench:
    """In place of the process that simulates: what it returns, and what it was called with."""

    def __init__(self, code: int) -> None:
        self.code, self.calls = code, []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls.append(command)
        output = json.dumps(REPORT | {"call": len(self.calls)})
        return subprocess.CompletedProcess(command, self.code, output, "what went wrong")


def use(monkeypatch: pytest.MonkeyPatch, code: int = 0) -> Bench:
    bench = Bench(code)
    monkeypatch.setattr(measurements, "smollm2_path", lambda: Path("smollm2.gguf"))
    monkeypatch.setattr(subprocess, "run", bench)
    monkeypatch.setattr(measurements, "_PARALLEL", 1)
    return bench


def test_a_run_is_stored_by_its_name(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    bench = use(monkeypatch)
    assert load("prefill-deit-s") is None
    assert main(["run", "prefill-deit-s", "batch-8", "packing-minilm"]) == 0
    assert load("prefill-deit-s") == STORED | {"call": 1}
    assert [call[2] for call in bench.calls] == ["workbench.cli"] * 3
    assert bench.calls[1][3:] == ["bench", *shlex.split(RUNS["batch-8"]), "--json"]
    assert bench.calls[2][3:] == ["report", "minilm", "--json"]
    assert sorted(path.name for path in (folder / "measurements").iterdir()) == [
        "batch-8.json",
        "packing-minilm.json",
        "prefill-deit-s.json",
    ]


def test_only_missing_runs_are_made_without_names(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    bench = use(monkeypatch)
    assert main(["run", "decode-64"]) == 0
    assert main(["run"]) == 0
    every = len(NAMES) + 1  # and the image of SmolLM2
    assert len(bench.calls) == every
    assert load("decode-64") == STORED | {"call": 1}
    assert main(["run"]) == 0 and len(bench.calls) == every


def test_a_run_of_smollm2_names_what_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = use(monkeypatch)
    assert main(["run", "smollm2-chat", "smollm2-peer"]) == 0
    asked, compiled, peer = bench.calls
    assert "smollm2.gguf" in asked and compiled[3:5] == ["compile", "smollm2.gguf"]
    assert compiled[-1] in peer and not {"SMOLLM2", "SMOLLM2_RAW"} & {*asked, *compiled, *peer}
    assert not Path(compiled[-1]).parent.exists()

    def missing() -> Path:
        raise ValueError("SmolLM2 is not installed")

    monkeypatch.setattr(measurements, "smollm2_path", missing)
    assert main(["run", "smollm2-chat"]) == 1
    assert capsys.readouterr().err.endswith("smollm2-chat: SmolLM2 is not installed\n")


def test_a_run_that_fails_leaves_what_was_there(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch)
    assert main(["run", "decode-64"]) == 0
    use(monkeypatch, code=1)
    assert main(["run", "decode-64", "batch-8"]) == 1
    assert load("decode-64") == STORED | {"call": 1} and load("batch-8") is None
    assert "decode-64: exit 1: what went wrong" in capsys.readouterr().err


def test_tables_stand_between_their_markers(folder: Path) -> None:
    for document, tables in DOCUMENTS.items():
        marked = (f"before\n<!-- {name} -->\nold\n<!-- /{name} -->\nafter\n" for name in tables)
        (folder / document).write_text("".join(marked))
    for _ in range(2):
        assert main(["tables"]) == 0
        for document, tables in DOCUMENTS.items():
            text = (folder / document).read_text()
            assert "\nold\n" not in text
            assert text.count("before") == text.count("after") == len(tables)
            for name, table in tables.items():
                assert f"<!-- {name} -->\n{table(load)}\n<!-- /{name} -->" in text


def test_a_document_without_markers_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = folder / "performance.md"
    document.write_text("nothing")
    assert main(["tables"]) == 2
    assert "performance.md must have the markers <!-- prefill -->" in capsys.readouterr().err
    assert document.read_text() == "nothing"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_show_what_is_stored(document: str) -> None:
    text = (measurements.FOLDER.parent / document).read_text("utf-8")
    for name, table in DOCUMENTS[document].items():
        shown = text.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->")[0]
        assert shown == table(load), (
            f"{document}: python -m workbench.documents.measurements tables"
        )


@pytest.mark.parametrize("name", [*NAMES, "remedies"])
def test_every_stored_report_names_its_commit(name: str) -> None:
    report = load(name)
    assert report is None or re.fullmatch(r"[0-9a-f]{7,}", report["commit"])


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_changed_sources_are_told_from_a_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        measurements, "__file__", str(tmp_path / "workbench" / "documents" / "measurements.py")
    )
    (tmp_path / "workbench" / "documents").mkdir(parents=True)
    with pytest.raises(ValueError, match="figures are stored in a git checkout"):
        checkout_commit()
    git(tmp_path, "init")
    (tmp_path / "workbench" / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "A source")
    commit = git(tmp_path, "rev-parse", "--short=7", "HEAD")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "new.json").write_text("{}")
    assert checkout_commit() == commit
    (tmp_path / "workbench" / "a.py").write_text("a = 2\n")
    assert checkout_commit() == f"{commit}-dirty"


@pytest.mark.parametrize("arguments", [[], ["walk"], ["tables", "all"], ["run", "decode-65"]])
def test_wrong_usage_is_told(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == "" and (
        "decode-65" in told.err or "workbench.documents.measurements" in told.err
    )
