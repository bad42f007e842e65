# SPDX-License-Identifier: Apache-2.0
"""`meadow report`: images as they are stored, checkpoints on every grid, MiniLM's published
figures, errors.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from firmware.image import read_image
from hw_tests.workbench import conftest
from hw_tests.workbench.commands import meadow
from meadow.compiler.image import write_image
from meadow.compiler.importers.checkpoint import load_checkpoint
from workbench.cli import app
from workbench.packing import minilm
from workbench.packing.figures import PACKINGS
from workbench.packing.grids import GRIDS, grid_integers
from workbench.packing.minilm import minilm_path

MATRIX = {
    *("name", "shape", "codec", "chunk", "unique_chunks", "entropy_bits", "bits_per_weight"),
    *("header_bits_per_weight", "ratio"),
}
TOTAL = MATRIX - {"shape", "codec", "chunk"} | {"matrices", "weights", "codecs"}
KEYS = {"source", "kind", "config", "grid", "codec", "matrices", "total", "table"}


run = partial(meadow, "report")


def report(*arguments: object) -> dict[str, Any]:
    values = json.loads(run(*arguments, "--json").stdout)
    assert KEYS <= set(values) and set(values["total"]) == TOTAL
    assert values["matrices"] and all(set(part) == MATRIX for part in values["matrices"])
    total, parts = values["total"], values["matrices"]
    assert total["weights"] == sum(int(np.prod(part["shape"])) for part in parts)
    for part in (*parts, total):
        assert part["ratio"] == pytest.approx(8 / part["bits_per_weight"])
    assert set(GRIDS) <= set(values["table"])
    for row in values["table"].values():
        assert row is None or list(row) == ["entropy", *PACKINGS]
    return values


@pytest.fixture(scope="module")
def image(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "model.meadow"
    arguments = ["compile", str(checkpoint), "-o", str(output), "--config", "small"]
    assert CliRunner().invoke(app, [*arguments, "--granularity", "tensor"]).exit_code == 0
    return output


def test_an_image_is_reported_as_it_is_stored(image: Path) -> None:
    values = report(image)
    manifest = read_image(image).manifest
    assert (values["kind"], values["config"]) == ("image", "small")
    assert (values["grid"], values["codec"]) == ("w8-tensor", "stored")
    for part, facts in zip(values["matrices"], manifest.matrices, strict=True):
        assert (part["name"], part["codec"]) == (facts.name, facts.codec)
        assert part["shape"] == [facts.outputs, facts.inputs]
        both = part["bits_per_weight"] + part["header_bits_per_weight"]
        assert both == pytest.approx(facts.bits_per_weight)
    # What it does not hold cannot be said; what it does is what packing again gives.
    row = values["table"].pop("w8-tensor")
    assert row["auto"] == pytest.approx(values["total"]["bits_per_weight"])
    assert row["entropy"] == pytest.approx(values["total"]["entropy_bits"])
    assert set(values["table"].values()) == {None}


def test_padding_inside_of_an_image_is_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads of 16 in words of 32 leave gaps between channels: the entropy is that of the true
    integers.
    """
    monkeypatch.setattr(conftest, "HIDDEN", 40)
    directory, output = conftest.write_checkpoint(tmp_path / "model"), tmp_path / "image"
    arguments = ["compile", str(directory), "-o", str(output), "--config", "small"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    padded = report(output)
    tiny = tmp_path / "tiny"
    assert CliRunner().invoke(app, [*arguments[:3], str(tiny), "--config", "tiny"]).exit_code == 0
    for small, other in zip(padded["matrices"], report(tiny)["matrices"], strict=False):
        if small["shape"] == other["shape"] and small["name"] == other["name"]:
            assert small["entropy_bits"] == pytest.approx(other["entropy_bits"])


def test_an_image_may_not_say_how_it_was_quantised(image: Path, tmp_path: Path) -> None:
    known = read_image(image)
    silent = dataclasses.replace(known, manifest=dataclasses.replace(known.manifest, notes={}))
    write_image(silent, tmp_path / "silent")
    values = report(tmp_path / "silent")
    assert values["grid"] == "stored" and values["table"]["stored"]["raw"] > 8
    assert {values["table"][grid] for grid in GRIDS} == {None}


def test_a_checkpoint_is_quantised_on_every_grid(checkpoint: Path) -> None:
    values = report(checkpoint, "--config", "small")
    assert (values["kind"], values["grid"], values["codec"]) == ("checkpoint", "w8-channel", "auto")
    names = [part["name"] for part in values["matrices"]]
    assert len(names) == 6 * conftest.LAYERS + 1 and names[-1] == "head"
    tensors = load_checkpoint(checkpoint).tensors
    for part in values["matrices"]:
        name = "embed_tokens" if part["name"] == "head" else f"{part['name']}.weight"
        integers = grid_integers(tensors[name], GRIDS["w8-channel"])
        assert part["shape"] == list(integers.shape)
        assert part["unique_chunks"] >= len(np.unique(integers)) - 1
    table = values["table"]
    assert all(row["entropy"] < row["auto"] <= row["raw"] for row in table.values())
    assert table["w8-channel"]["rice"] > table["w6-channel"]["rice"] > table["w4-channel"]["rice"]
    assert "dictionary_variants" not in values


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("codec", PACKINGS)
def test_single_matrices_add_up_to_the_table(checkpoint: Path, grid: str, codec: str) -> None:
    values = report(checkpoint, "--config", "tiny", "--grid", grid, "--codec", codec)
    assert (values["grid"], values["codec"]) == (grid, codec)
    assert values["total"]["bits_per_weight"] == pytest.approx(values["table"][grid][codec])
    assert values["total"]["entropy_bits"] == pytest.approx(values["table"][grid]["entropy"])
    allowed = {"raw", codec} if codec != "auto" else {"raw", "dictionary", "rice"}
    assert {part["codec"] for part in values["matrices"]} <= allowed


def test_the_tables_for_people_show_the_figures(checkpoint: Path) -> None:
    result = run(checkpoint, "--config", "tiny", "--codec", "rice")
    shown = " ".join(result.stdout.split())
    for text in ("matrices, w8-channel, rice", "layers.1.fc2", "w4-channel", "dictionary", "total"):
        assert text in shown
    assert "packing 13 matrices, w6-channel" in result.stderr


def test_names_are_not_markup(checkpoint: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a [bold]$x^$ b"
    odd.symlink_to(checkpoint)
    assert "[bold]$x^$" in "".join(run(odd, "--config", "tiny").stdout.split())


def test_pictures_are_asked_for_before_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(tmp_path / "nowhere", "--plot", tmp_path / "pictures", code=2)
    assert "pictures need matplotlib: it is the extra `plot`" in result.stderr


def test_pictures_are_written(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra `plot`: matplotlib")
    values = report(checkpoint, "--config", "tiny", "--plot", tmp_path / "pictures")
    names = ["bits.svg", "matrices.svg", "weights.svg"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    assert values["total"]["matrices"] == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.meadow"], "there is no image file or checkpoint directory nowhere.meadow"),
        ([conftest.__file__], "is not a model image"),
        ([Path(conftest.__file__).parent], "a checkpoint must hold config.json"),
        (["minilm", "--grid", "w9"], "grid must be one of w8-tensor, w8-channel, w6-channel, "),
        (["minilm", "--codec", "zip"], "codec must be one of auto, dictionary, raw, rice, not"),
        (["minilm", "--config", "huge"], "unknown configuration 'huge'"),
    ],
)
def test_wrong_input_is_told_in_one_line(arguments: list[object], message: str) -> None:
    result = run(*arguments, "--json", code=2)
    assert result.stdout == "" and message in result.stderr
    assert result.stderr.startswith("meadow: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--grid", "w8-channel"], "grid is what the image"),
        (["--codec", "rice"], "codec is what the image"),
        (["--config", "tiny"], "was compiled for configuration small, not tiny"),
    ],
)
def test_an_image_has_fixed_what_else_is_an_option(
    image: Path, option: list[str], message: str
) -> None:
    assert message in run(image, *option, code=2).stderr


def test_minilm_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_PACKAGE", "no_such_package_of_weights")
    result = run("minilm", code=2)
    assert "they are the extra `minilm`" in result.stderr


@pytest.mark.skipif(minilm_path() is None, reason="needs the extra `minilm`: 91 MB of weights")
def test_minilm_is_what_was_published() -> None:
    values = report("minilm")
    assert values["kind"] == "minilm" and values["config"] == "zcu102-paper"
    assert (values["total"]["matrices"], values["total"]["weights"]) == (36, 10_616_832)
    limits = {"w8-tensor": 5.20, "w8-channel": 7.35, "w6-channel": 5.30, "w4-channel": 3.25}
    for grid, limit in limits.items():
        row = values["table"][grid]
        assert row["entropy"] < row["auto"] <= limit
        assert row["auto"] == pytest.approx(min(row[name] for name in PACKINGS), rel=1e-3)
    # Counted apart from this code: one table for each matrix, modes and table included.
    apart = {
        "w8-tensor": {"naive": 6.62, "chunk2": 5.72, "chunk1": 5.44, "best": 5.31},
        "w8-channel": {"naive": 9.14, "chunk2": 8.79, "chunk1": 7.52, "best": 7.43},
    }
    for grid, variants in apart.items():
        for name, bits in variants.items():
            found = values["dictionary_variants"][grid][name]
            assert found["one_table"] == pytest.approx(bits, rel=0.02)
        streams = values["dictionary_variants"][grid]
        assert streams["chunk1"]["streams"] == pytest.approx(variants["chunk1"], rel=0.02)
        assert streams["best"]["streams"] <= variants["best"] * 1.03
        # The ports of a matrix choose their chunk alone.
        packed = values["table"][grid]["dictionary"]
        assert packed == pytest.approx(streams["best"]["streams"], rel=0.002)
