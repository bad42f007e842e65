# SPDX-License-Identifier: Apache-2.0
"""`meadow accuracy`: figures of small models, and what is refused before the work begins."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from firmware.tokenizer import load_tokenizer
from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.golden.tiers.float_tier import FloatModel
from workbench.campaigns.llama_files import write_directory
from workbench.cli import app

RANDOM = np.random.default_rng(salted(14))
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz     "))


def words(paragraphs: int) -> str:
    return "\n\n".join("".join(RANDOM.choice(LETTERS, 90)).strip() for _ in range(paragraphs))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(words(40), encoding="utf-8")
    return path


def llama_directory(
    directory: Path, tokenizer: Path, architecture: str, shape: str, **change: int
) -> Path:
    config = config_of(architecture, shape, **change)
    made = write_directory(directory, config, llama_weights(config))
    shutil.copy(tokenizer / "tokenizer.json", made / "tokenizer.json")
    return made


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["accuracy", *map(str, arguments)])


def report_of(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: object) -> str:
    result = run(*arguments, "--json")
    assert result.exit_code == 2 and result.stdout == "", result.output
    assert "Traceback" not in result.stderr
    return result.stderr


@pytest.mark.parametrize("shape", ["width72", "narrow", "deep"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_model_like_llama_has_all_figures(
    checkpoint: Path, tmp_path: Path, text: Path, architecture: str, shape: str
) -> None:
    model = llama_directory(tmp_path / "model", checkpoint, architecture, shape)
    found = report_of(model, "--text", text, "--calibration", text, "--tokens", 200)
    assert {"tokens", "perplexity", "ratio", "kl_nats", "top1_agreement", "layers"} <= set(found)
    # Windows of the opening token and 63 tokens, the first of which is given.
    assert found["windows"] == [4, 64] and found["tokens"] == 4 * 62
    assert found["config"] == "tiny"
    assert found["ratio"] == pytest.approx(
        found["perplexity"]["integer"] / found["perplexity"]["float"]
    )
    assert found["checked"] == {"windows": 2, "tokens": 32, "logits": 2 * 300}
    assert abs(found["ratio"] - 1) < 0.05 and 0 < found["kl_nats"] < 0.03
    assert found["top1_agreement"] > 0.85
    layers = load_checkpoint(model).description.layers
    assert [layer["name"] for layer in found["layers"]] == [
        "embedding",
        *(f"layers.{index}" for index in range(layers)),
    ]
    assert all(layer["cosine"] > 0.99 and layer["snr_db"] > 20 for layer in found["layers"])


def test_float_figures_are_those_of_the_checkpoint(
    checkpoint: Path, tmp_path: Path, text: Path
) -> None:
    """Whatever coordinates the integers have, the reference is the model as it was read."""
    model = llama_directory(tmp_path / "model", checkpoint, "llama", "width72")
    figures = [
        report_of(model, "--text", text, "--tokens", 60, "--rotate", rotate)
        for rotate in ("on", "off")
    ]
    assert figures[0]["perplexity"]["float"] == figures[1]["perplexity"]["float"]
    assert [found["notes"]["rotated"] for found in figures] == [True, False]
    # Behind R1 the residual is compared in the coordinates of the integers.
    assert all(entry["cosine"] > 0.99 for found in figures for entry in found["layers"])
    read = load_checkpoint(model)
    tokenizer = load_tokenizer(read.tokenizer_json or b"")
    content = text.read_text(encoding="utf-8").split("\n\n")[0]
    ids = [1, *tokenizer.encode(content, add_special_tokens=False).ids[:63]]
    real = FloatModel(read.description, read.tensors)
    logits = real.forward(ids).astype(np.float64)
    losses = np.log(np.exp(logits).sum(axis=1))[1:-1] - logits[np.arange(1, len(ids) - 1), ids[2:]]
    assert figures[0]["perplexity"]["float"] == pytest.approx(np.exp(losses.mean()), rel=1e-5)


def test_the_demo_model_is_the_default() -> None:
    found = report_of("--tokens", 500)
    assert found["model"].endswith("demo/model") and found["text"].startswith("stories")
    assert abs(found["ratio"] - 1) < 0.005 and found["kl_nats"] < 1e-3
    assert found["notes"]["prefix"] == []


def test_words_and_a_table_are_for_people(checkpoint: Path, text: Path) -> None:
    result = run(checkpoint, "--text", text, "--tokens", 60, "--rotate", "off")
    assert result.exit_code == 0, result.output
    assert "not rotated, no prefix" in result.stdout
    assert "perplexity" in result.stdout and "layers.1" in result.stdout
    assert "nats per token" in result.stdout and "all equal" in result.stdout


def test_what_is_refused_is_one_line(
    checkpoint: Path, silent_checkpoint: Path, tmp_path: Path, text: Path
) -> None:
    image = tmp_path / "model.meadow"
    image.write_bytes(b"MEADOW")
    empty, short, damaged = (tmp_path / name for name in ("empty", "short", "damaged"))
    empty.write_text("\n\n")
    short.write_text("so short")
    damaged.write_bytes(b"\xff\xfe\xff")
    wide = llama_directory(tmp_path / "wide", checkpoint, "llama", "narrow", hidden_size=520)
    lines = {
        refused(image, "--text", text): "accuracy needs the float model too",
        refused(tmp_path / "no", "--text", text): "a checkpoint must be a directory or a GGUF",
        refused(wide, "--text", text): "padded width must be at most norm_channels",
        refused(checkpoint, "--text", tmp_path / "no"): "No such file or directory",
        refused(checkpoint, "--text", empty): "must hold at least one paragraph of text",
        refused(checkpoint, "--text", damaged): "must be UTF-8 text",
        refused(checkpoint, "--text", short): "the text has 0 tokens in windows of 63, not 2048",
        refused(checkpoint, "--text", text, "--calibration", empty): "at least one paragraph",
        refused(silent_checkpoint, "--text", text): "accuracy needs the model's tokenizer",
        refused(checkpoint, "--text", text, "--tokens", 0): "tokens must be at least 1, not 0",
        refused(checkpoint, "--rotate", "no"): "rotate must be one of auto, on, off, not 'no'",
        refused(checkpoint, "--prefix", "x"): "prefix must be one of auto, none, not 'x'",
        refused(checkpoint, "--config", "big"): "unknown configuration 'big'",
    }
    for line, rule in lines.items():
        assert rule in line and line.startswith("meadow: ") and line.count("\n") == 1, line
