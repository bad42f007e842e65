# SPDX-License-Identifier: Apache-2.0
"""What commands say of an image's accuracy, wherever the image comes from."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from firmware.image import read_image
from hw_tests.workbench.conftest import write_checkpoint
from meadow.compiler.image import write_image
from meadow.spec.contract import contract_hash
from workbench.cli import app
from workbench.models.accuracy_report import accuracy_lines
from workbench.models.cached import DEMO_MODEL

ROOT = Path(__file__).parents[3]
NORM = "model.decoder.layers.1.final_layer_norm.weight"
WARNING = "meadow: WARNING: far from float: layers.1.mlp is at fault"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint with one norm gain of a million."""
    directory = write_checkpoint(tmp_path_factory.mktemp("broken") / "model")
    tensors = load_file(directory / "model.safetensors")
    tensors[NORM][3] = 1e6
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def warnings(text: str) -> list[str]:
    return [line for line in text.splitlines() if "WARNING: far from float" in line]


def test_compile_prints_the_worst_unit_and_stores_everything(
    checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model.meadow"
    result = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output)])
    assert result.exit_code == 0 and warnings(result.stderr) == []
    stored = read_image(output).manifest.notes["accuracy"]
    assert f"worst on its own  {stored['worst']['name']}" in result.stdout
    assert f"{stored['worst']['cosine_worst']:.4f}" in result.stdout
    assert "percentile 1 of 1024 tokens" in result.stdout
    layers = ["embedding", "layers.0", "layers.1", "head"]
    assert [layer["name"] for layer in stored["layers"]] == layers
    for layer in stored["layers"]:
        assert {"cosine_median", "cosine_worst", "snr_db_median", "snr_db_worst"} <= set(layer)


def test_compile_warns_in_one_line_and_reports_it(broken: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.meadow"
    result = CliRunner().invoke(app, ["compile", str(broken), "-o", str(output), "--json"])
    assert result.exit_code == 0
    (line,) = warnings(result.stderr)
    assert line.startswith(WARNING) and "gain 3 of layers.1.mlp_norm is 1e+06" in line
    report = json.loads(result.stdout)
    assert line == f"meadow: WARNING: {report['accuracy']['warnings'][0]}"
    assert report["accuracy"]["worst"]["cosine_worst"] < 0.98
    assert "accuracy" not in report["notes"]
    assert report["accuracy"] == read_image(output).manifest.notes["accuracy"]


def test_every_command_that_takes_the_model_warns_also_out_of_the_cache(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path / "cache"))
    image = tmp_path / "model.meadow"
    arguments = ["--device", "golden", "--max-tokens", "2", "--json"]
    for time in ("built", "from the cache"):
        result = CliRunner().invoke(app, ["run", str(broken), *arguments])
        assert result.exit_code == 0 and len(warnings(result.stderr)) == 1, time
        json.loads(result.stdout)
    result = CliRunner().invoke(app, ["verify", str(broken), "--device", "golden"])
    assert len(warnings(result.stderr)) == 1
    CliRunner().invoke(app, ["compile", str(broken), "-o", str(image)])
    result = CliRunner().invoke(app, ["run", str(image), *arguments])
    assert result.exit_code == 0 and len(warnings(result.stderr)) == 1


@pytest.mark.slow
def test_the_image_does_not_depend_on_threads_or_runs(checkpoint: Path, tmp_path: Path) -> None:
    made = set()
    for threads in ("1", "1", "2"):
        output = tmp_path / f"{threads}.meadow"
        command = [sys.executable, "-m", "workbench.cli", "compile", str(checkpoint)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run(
            [*command, "-o", str(output)], check=True, env=environment, capture_output=True
        )
        made.add(output.read_bytes())
    assert len(made) == 1


def test_the_measurement_is_no_part_of_the_contract(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.meadow"
    CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output)])
    manifest = read_image(output).manifest
    assert manifest.contract_hash == contract_hash(manifest.config)


def test_an_image_without_a_measurement_or_with_strange_words_is_taken(
    broken: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model.meadow"
    CliRunner().invoke(app, ["compile", str(broken), "-o", str(output)])
    image = read_image(output)
    strange = {"accuracy": {"warnings": ["far from float\n\x1b[31m"]}}
    for notes, said in (
        ({}, []),
        ({"accuracy": None}, []),
        ({"accuracy": {"warnings": 3}}, []),
        (strange, ["meadow: WARNING: far from float\\n\\x1b[31m"]),
    ):
        manifest = dataclasses.replace(image.manifest, notes=notes)
        write_image(dataclasses.replace(image, manifest=manifest), tmp_path / "other")
        result = CliRunner().invoke(
            app, ["run", str(tmp_path / "other"), "--device", "golden", "--max-tokens", "1"]
        )
        assert result.exit_code == 0, result.output
        assert warnings(result.stderr) == said
    assert accuracy_lines(dataclasses.replace(image.manifest, notes={})) == []


def test_random_tokens_are_measured_too(silent_checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.meadow"
    for context, tokens in (("1", 8), ("64", 512)):
        arguments = ["compile", str(silent_checkpoint), "-o", str(output), "--context", context]
        result = CliRunner().invoke(app, [*arguments, "--json"])
        accuracy = json.loads(result.stdout)["accuracy"]
        assert accuracy["tokens"] == tokens and accuracy["warnings"] == []
        assert np.isfinite([layer["snr_db_worst"] for layer in accuracy["layers"]]).all()


def test_the_document_has_the_figures_of_the_demo_model(tmp_path: Path) -> None:
    output = tmp_path / "demo.meadow"
    result = CliRunner().invoke(app, ["compile", str(DEMO_MODEL), "-o", str(output), "--json"])
    accuracy = json.loads(result.stdout)["accuracy"]
    assert (accuracy["tokens"], accuracy["sinks"], accuracy["warnings"]) == (1024, 0, [])
    document = (ROOT / "docs" / "number-formats.md").read_text("utf-8")
    for layer in accuracy["layers"]:
        own = [f"{unit['name'].split('.')[-1]} {unit['snr_db_worst']}" for unit in layer["own"]]
        figures = [
            layer[name]
            for name in ("cosine_median", "cosine_worst", "snr_db_median", "snr_db_worst")
        ]
        row = " | ".join(map(str, [layer["name"], *figures, ", ".join(own)]))
        assert f"| {row} |" in document
