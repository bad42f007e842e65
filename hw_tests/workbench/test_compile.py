# SPDX-License-Identifier: Apache-2.0
"""`meadow compile`: the image, the report, where calibration text comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firmware.image import read_image
from workbench.cli import app


def compile_json(directory: Path, output: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["compile", str(directory), "-o", str(output), "--json", *arguments]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("codec", ["auto", "raw", "dictionary"])
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_the_image_is_what_the_report_says(
    checkpoint: Path, tmp_path: Path, codec: str, granularity: str
) -> None:
    output = tmp_path / "model.meadow"
    report = compile_json(checkpoint, output, "--codec", codec, "--granularity", granularity)
    manifest = read_image(output).manifest
    assert report["contract_hash"] == manifest.contract_hash
    assert report["file_bytes"] == output.stat().st_size
    assert report["notes"]["granularity"] == granularity
    # A matrix that a dictionary would only enlarge stays raw.
    assert set(report["codecs"]) <= ({"raw"} if codec == "raw" else {"raw", "dictionary"})


def test_calibration_names_its_source(
    checkpoint: Path, silent_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model.meadow"
    report = compile_json(checkpoint, output)
    assert report["notes"]["calibration"] == "24 stories of the demo generator"
    report = compile_json(silent_checkpoint, output)
    assert report["notes"]["calibration"] == "8 sequences of seeded random tokens"
    own = shutil.copytree(checkpoint, tmp_path / "own")
    (own / "calibration.txt").write_text("hello you\n\nand me\n")
    report = compile_json(own, output)
    assert report["notes"]["calibration"] == "2 lines of calibration.txt"
    assert report["notes"]["calibration_tokens"] == 10 + 7


def test_the_same_input_gives_the_same_file(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_json(checkpoint, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "huge"], "unknown configuration 'huge'"),
        (["--codec", "zip"], "codec must be one of auto, dictionary, raw, not 'zip'"),
        (["--granularity", "row"], "granularity must be one of channel, tensor, not 'row'"),
        (["--context", "999"], "context must be at most"),
    ],
)
def test_a_mistake_is_one_line(
    checkpoint: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    output = tmp_path / "model.meadow"
    result = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output), *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not output.exists()


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compile", str(tmp_path / "no"), "-o", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert result.stderr.startswith("meadow: a checkpoint must be a directory")
