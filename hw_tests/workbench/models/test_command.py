# SPDX-License-Identifier: Apache-2.0
"""`meadow compile`: the image, the report, where calibration text comes from."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from firmware.image import read_image
from firmware.tokenizer import load_tokenizer
from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from hw_tests.workbench import conftest
from meadow.compiler.importers.checkpoint import load_checkpoint
from workbench.campaigns.llama_files import write_directory, write_gguf
from workbench.cli import app
from workbench.models.compile_model import calibration_text


def compile_json(directory: Path, output: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["compile", str(directory), "-o", str(output), "--json", *arguments]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("codec", ["auto", "raw", "dictionary", "rice"])
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
    # A matrix that a codec would only enlarge stays raw.
    coded = {"dictionary", "rice"} if codec == "auto" else {codec}
    assert set(report["codecs"]) <= {"raw", *coded}


def test_the_line_says_what_the_bits_per_weight_count(checkpoint: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.meadow"
    result = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output)])
    assert result.exit_code == 0, result.output
    matrices = read_image(output).manifest.matrices
    stored = 8 * sum(matrix.size_bytes for matrix in matrices)
    bits = stored / sum(matrix.outputs * matrix.inputs for matrix in matrices)
    assert (
        f" {bits:.2f} bits per weight of the matrices "
        "(slice headers, tables and padding count, embeddings do not), "
    ) in result.stdout


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
    # Each behind the token that opens it.
    assert report["notes"]["calibration_tokens"] == 10 + 7
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("hello you\nall\n\nand me\n")
    report = compile_json(own, output, "--calibration", str(chosen))
    assert report["notes"]["calibration"] == "1 windows of chosen.txt"
    assert report["notes"]["calibration_tokens"] == 1 + 21


@pytest.mark.parametrize(("rotate", "rotated"), [("on", True), ("off", False)])
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_models_like_llama_become_images(
    tmp_path: Path, architecture: str, rotate: str, rotated: bool
) -> None:
    config = config_of(architecture, "width72")
    weights = llama_weights(config)
    directory = write_directory(tmp_path / "model", config, weights)
    report = compile_json(directory, tmp_path / "image", "--rotate", rotate)
    assert report["notes"]["rotated"] is rotated and report["notes"]["prefix"] == []
    manifest = read_image(tmp_path / "image").manifest
    assert manifest.model.architecture == architecture
    assert manifest.model.tied_head is False
    head = report["accuracy"]["layers"][-1]
    assert head["name"] == "head" and head["cosine_worst"] > 0.98


def test_a_sink_is_the_prefix_of_the_image(checkpoint: Path, tmp_path: Path) -> None:
    config = config_of("llama", "width72")
    weights = llama_weights(config)
    weights["model.embed_tokens.weight"][1, 5] += 1_000
    directory = write_directory(tmp_path / "model", config, weights)
    shutil.copy(checkpoint / "tokenizer.json", directory)
    report = compile_json(directory, tmp_path / "image", "--rotate", "on")
    assert report["notes"]["prefix"] == [1]
    assert read_image(tmp_path / "image").manifest.prefix == (1,)
    report = compile_json(directory, tmp_path / "image", "--rotate", "on", "--prefix", "none")
    assert read_image(tmp_path / "image").manifest.prefix == ()


def test_the_same_input_gives_the_same_file(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_json(checkpoint, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compile", str(tmp_path / "no"), "-o", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert result.stderr.startswith("meadow: a checkpoint must be a directory")


def damage(source: Path, directory: Path, change: dict[str, Any]) -> Path:
    """A copy of a checkpoint with other config.json entries."""
    shutil.copytree(source, directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | change))
    return directory


def refused(directory: Path, output: Path) -> str:
    """Compile over an existing file; the one line of the error."""
    output.write_bytes(b"old")
    result = CliRunner().invoke(app, ["compile", str(directory), "-o", str(output), "--json"])
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and output.read_bytes() == b"old"
    assert not list(output.parent.glob(".*"))
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def test_what_is_no_model_is_one_line_and_keeps_the_old_image(
    checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model.meadow"
    other = damage(checkpoint, tmp_path / "gpt2", {"model_type": "gpt2"})
    expected = "meadow: model_type must be one of llama, opt, qwen2, not 'gpt2'"
    assert refused(other, output) == expected
    config = config_of("llama", "width72")
    file = write_gguf(tmp_path / "llama.gguf", config, llama_weights(config))
    file.write_bytes(file.read_bytes()[:-1000])
    assert refused(file, output).startswith("meadow: llama.gguf is cut short or corrupt: it has ")
    cut = damage(checkpoint, tmp_path / "cut", {})
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[:-1])
    assert refused(cut, output).startswith("meadow: model.safetensors is truncated: ")
    start = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:start])
    header["new\nline\x1b[31m"] = header.pop("model.decoder.layers.0.fc1.bias")
    text = json.dumps(header).encode()
    (cut / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + weights[start:]
    )
    assert refused(cut, output).startswith("meadow: the weights must hold layers.0.fc1.bias")
    header["model.decoder.layers.0.fc1.bias"] = header["new\nline\x1b[31m"] | {
        "data_offsets": [len(weights) - start, len(weights) - start + 256]
    }
    text = json.dumps(header).encode()
    (cut / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + weights[start:] + bytes(256)
    )
    # The name cannot end the line or drive the terminal.
    assert refused(cut, output) == "meadow: an OPT model has no tensor new\\nline\\x1b[31m"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"WIDTH": 96, "HEADS": 1}, "padded head dim must be at most max_head_dim (64), not 96"),
        ({"WIDTH": 528, "HEADS": 33}, "padded width must be at most norm_channels (512), not 528"),
    ],
)
def test_a_model_that_the_configuration_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], message: str
) -> None:
    for name, value in sizes.items():
        monkeypatch.setattr(conftest, name, value)
    directory = conftest.write_checkpoint(tmp_path / "model", tokenizer=False)
    assert refused(directory, tmp_path / "out") == f"meadow: {message}"


def test_an_output_that_cannot_be_written_is_said_before_the_work(
    checkpoint: Path, tmp_path: Path
) -> None:
    for output, message in (
        (tmp_path / "no" / "x", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("/dev/null"), "Not a regular file"),
    ):
        result = CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output)])
        assert result.exit_code == 2
        assert result.stderr == f"meadow: cannot write the image: {message}: {output}\n"
    assert not Path("/dev/null").is_file()


def test_a_tokenizer_must_fit_the_model(checkpoint: Path, tmp_path: Path) -> None:
    small = damage(checkpoint, tmp_path / "small", {})
    tokenizer = json.loads((small / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["~"] = 71
    (small / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert refused(small, tmp_path / "out") == (
        "meadow: tokens of tokenizer.json must be below the model's vocabulary of 71, not 71"
    )
    (small / "tokenizer.json").write_text("{}")
    assert refused(small, tmp_path / "out").startswith(
        "meadow: tokenizer.json must hold a tokenizer: "
    )


def test_a_chat_template_is_read_before_the_work(checkpoint: Path, tmp_path: Path) -> None:
    own = damage(checkpoint, tmp_path / "own", {})
    (own / "tokenizer_config.json").write_text('{"chat_template": 7}')
    output = tmp_path / "out"
    result = CliRunner().invoke(app, ["compile", str(own), "-o", str(output)])
    assert result.exit_code == 2 and not output.exists()
    assert result.stderr == ("meadow: chat_template of tokenizer_config.json must be text, not 7\n")


def test_rotary_positions_are_as_many_as_can_be_served(tmp_path: Path) -> None:
    """A file may name any number: no table is made for more than the configuration has."""
    config = config_of("llama", "narrow", max_position_embeddings=2**62)
    directory = write_directory(tmp_path / "model", config, llama_weights(config))
    report = compile_json(directory, tmp_path / "image", "--rotate", "off")
    assert report["context"] == read_image(tmp_path / "image").manifest.model.max_positions == 512
    assert [*read_image(tmp_path / "image").rotary.shape][0] == 512


def test_calibration_text_that_is_none(
    checkpoint: Path, silent_checkpoint: Path, tmp_path: Path
) -> None:
    own = damage(checkpoint, tmp_path / "own", {})
    file = own / "calibration.txt"
    file.write_text("\n\n")
    assert refused(own, tmp_path / "out") == f"meadow: {file} must hold at least one line of text"
    file.write_bytes(b"\xff")
    assert refused(own, tmp_path / "out").startswith(f"meadow: {file} must be UTF-8 text: ")
    silent = damage(silent_checkpoint, tmp_path / "silent", {})
    (silent / "calibration.txt").write_text("a")
    assert refused(silent, tmp_path / "out").endswith("needs a tokenizer.json beside the model")


def test_an_image_does_not_replace_what_it_is_made_from(checkpoint: Path, tmp_path: Path) -> None:
    own = damage(checkpoint, tmp_path / "own", {})
    (tmp_path / "link").symlink_to(own / "config.json")
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    for output in (own / "model.safetensors", own / "tokenizer.json", tmp_path / "link"):
        result = CliRunner().invoke(app, ["compile", str(own), "-o", str(output)])
        assert result.exit_code == 2
        expected = f"meadow: cannot write the image: It is made from this file: {output}\n"
        assert result.stderr == expected
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before


def test_no_more_of_a_line_is_encoded_than_calibration_needs(
    checkpoint: Path, tmp_path: Path
) -> None:
    read = load_checkpoint(checkpoint)
    own = damage(checkpoint, tmp_path / "own", {})
    text = "It was a book, once. " * 200
    tokenizer = load_tokenizer(read.tokenizer_json or b"")
    # One position is that of the token in front.
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    expected = ids[: read.description.max_positions - 1]
    (own / "calibration.txt").write_text(text * 500)  # 2 MB, which take seconds as a whole
    start = time.process_time()
    sequences, source = calibration_text(own, read)
    assert time.process_time() - start < 0.5
    assert source == "1 lines of calibration.txt"
    assert [sequence.tolist() for sequence in sequences] == [expected]
