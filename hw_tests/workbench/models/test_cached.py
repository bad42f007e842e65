# SPDX-License-Identifier: Apache-2.0
"""Models of a command line: what of a folder takes part, when it is compiled again, and
warnings.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner

from firmware.image import read_image
from hw_tests.meadow.compiler.quantise.test_quantised_file import Trap, assert_same
from hw_tests.seeds import salted
from hw_tests.workbench.models import test_tokenizer_files
from workbench.cli import app
from workbench.configurations.chosen import choose_config
from workbench.models import cached as models
from workbench.models.cached import CompileOptions, load_model
from workbench.models.compile_model import compile_directory, model_files

OPTIONS = CompileOptions(chosen=choose_config("tiny"))
RANDOM_TOKENS = "it was calibrated with random tokens"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def log_of(directory: Path) -> list[str]:
    """What is said while the model is loaded; nothing if it was there."""
    lines: list[str] = []
    load_model(directory, OPTIONS, lines.append)
    return lines


def test_strangers_in_the_folder_are_not_read_and_compile_nothing_again(
    checkpoint: Path, tmp_path: Path, cache: Path
) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    assert any("compiling" in line for line in log_of(own))
    files = [path.name for path in model_files(own)]
    # A terabyte that takes no room, a name that is no UTF-8, a note, a pipe that nobody writes to.
    with (own / "optimizer.pt").open("wb") as file:
        file.truncate(1 << 40)
    Path(os.fsdecode(os.fsencode(own) + b"/note-\xff")).write_text("a note")
    (own / "README.md").write_text("a note")
    os.mkfifo(own / "pipe.json")
    tracemalloc.start()
    assert log_of(own) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000
    assert [path.name for path in model_files(own)] == files
    assert files == ["config.json", "model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "calibration.txt", "python"]
)
def test_what_the_model_depends_on_compiles_it_again(
    checkpoint: Path, tmp_path: Path, cache: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    log_of(own)
    if name == "python":
        monkeypatch.setattr(models.platform, "python_version", lambda: "3.99.0")
    elif name == "model.safetensors":
        content = bytearray((own / name).read_bytes())
        content[-2] ^= 1
        (own / name).write_bytes(content)
    elif name == "calibration.txt":
        (own / name).write_text("hello you")
    else:
        values = json.loads((own / name).read_text())
        (own / name).write_text(json.dumps(values, indent=3))
    assert any("compiling" in line for line in log_of(own))
    assert log_of(own) == []


def test_the_cached_model_is_the_compiled_one(checkpoint: Path, cache: Path) -> None:
    made = compile_directory(checkpoint, OPTIONS, lambda line: None)
    for _ in range(2):
        loaded = load_model(checkpoint, OPTIONS, lambda line: None)
        assert_same(loaded.quantised, made.quantised)
        assert loaded.image.manifest == made.image.manifest


def test_a_configuration_is_kept_by_its_contents_and_called_as_it_was_asked_for(
    checkpoint: Path, cache: Path, tmp_path: Path
) -> None:
    lines: list[str] = []

    def load(*given: str) -> str:
        lines.clear()
        chosen = choose_config(given[0], given[1:])
        manifest = load_model(
            checkpoint, CompileOptions(chosen=chosen), lines.append
        ).image.manifest
        assert manifest.config == chosen.config
        return manifest.config_name

    mine = tmp_path / "mine.toml"
    mine.write_text("base = 'tiny'\n")
    assert load("tiny") == "tiny" and lines
    assert load(str(mine)) == "mine" and not lines
    assert load("tiny", "lanes=2") == "tiny+lanes=2" and not lines
    mine.write_text("base = 'tiny'\nlanes = 1\n")
    assert load(str(mine)) == "mine" and lines
    assert load("tiny", "lanes=1") == "tiny+lanes=1" and not lines


def test_no_pickle_in_the_cache_is_loaded(checkpoint: Path, cache: Path, tmp_path: Path) -> None:
    load_model(checkpoint, OPTIONS, lambda line: None)
    sprung = tmp_path / "sprung"
    entries = [path for path in cache.rglob("*") if path.is_file()]
    assert entries and not [path for path in entries if path.suffix == ".pickle"]
    for path in entries:
        if path.name.startswith("quantised"):
            path.write_bytes(pickle.dumps(Trap(sprung)))
            (path.parent / "quantised.pickle").write_bytes(pickle.dumps(Trap(sprung)))
    try:
        load_model(checkpoint, OPTIONS, lambda line: None)
    except ValueError as error:
        assert "holds no quantised model" in str(error)
    assert not sprung.exists()


def test_a_tokenizer_of_two_files_is_in_the_image(silent_checkpoint: Path, tmp_path: Path) -> None:
    own = shutil.copytree(silent_checkpoint, tmp_path / "own")
    test_tokenizer_files.write(own)
    vocabulary = json.loads((own / "vocab.json").read_text())
    # The model has 71 tokens: the alphabet is cut to what fits.
    kept = {token: index for index, token in enumerate(list(vocabulary)[:60])}
    (own / "vocab.json").write_text(json.dumps(kept))
    (own / "merges.txt").write_text("#version: 0.2\n")
    (own / "calibration.txt").write_text("123 + 456 = 579\n")
    image = compile_directory(own, OPTIONS, lambda line: None).image
    tokenizer = Tokenizer.from_str(image.tokenizer.tobytes().decode())
    assert tokenizer.encode("1").ids == [2, kept["1"]]
    assert image.manifest.notes["calibration"] == "1 lines of calibration.txt"
    assert "warnings" not in image.manifest.notes


def test_a_padded_tokenizer_gives_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    plain = compile_directory(checkpoint, OPTIONS, lambda line: None)
    own = shutil.copytree(checkpoint, tmp_path / "own")
    tokenizer = Tokenizer.from_file(str(own / "tokenizer.json"))
    tokenizer.enable_padding(length=64, pad_id=1, pad_token="<pad>", direction="left")
    tokenizer.enable_truncation(8, direction="left")
    tokenizer.save(str(own / "tokenizer.json"))
    found = compile_directory(own, OPTIONS, lambda line: None)
    assert_same(found.quantised, plain.quantised)


def command(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("form", ["text", "json"])
def test_random_calibration_is_a_warning_everywhere(
    silent_checkpoint: Path, tmp_path: Path, cache: Path, form: str
) -> None:
    image = tmp_path / "model.meadow"
    calls = [
        ("compile", silent_checkpoint, "-o", image),
        *(("run", silent_checkpoint, "--device", "golden", "--max-tokens", 1) for _ in range(2)),
        ("run", image, "--device", "golden", "--max-tokens", 1),
        ("verify", silent_checkpoint, "--device", "golden", "--tokens", 1),
    ]
    for call in calls:
        result = command(*call, *(["--json"] if form == "json" else []))
        told = [line for line in result.stderr.splitlines() if line.startswith("meadow: WARNING: ")]
        assert len(told) == 1 and RANDOM_TOKENS in told[0], call
        if form == "json":
            assert [
                RANDOM_TOKENS in warning for warning in json.loads(result.stdout)["warnings"]
            ] == [True]
    assert RANDOM_TOKENS in read_image(image).manifest.notes["warnings"][0]


def test_a_good_model_has_no_warning(checkpoint: Path, cache: Path) -> None:
    result = command("run", checkpoint, "--device", "golden", "--max-tokens", 1, "--json")
    assert json.loads(result.stdout)["warnings"] == []
    assert "WARNING" not in result.stderr


def test_all_end_tokens_are_kept_and_opening_tokens_that_are_not_told(
    checkpoint: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(checkpoint, tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    several = {"eos_token_id": [5, 2], "bos_token_id": [5, 2]}
    (own / "config.json").write_text(json.dumps(config | several))
    result = command("compile", own, "-o", tmp_path / "out", "--json")
    report = json.loads(result.stdout)
    assert report["warnings"] == ["bos_token_id is the first of [5, 2]: the others have no effect"]
    assert f"meadow: WARNING: {report['warnings'][0]}" in result.stderr
    manifest = read_image(tmp_path / "out").manifest
    assert manifest.model.eos_token == 5 and manifest.end_tokens == (5, 2)


def test_notes_of_an_image_are_not_trusted(checkpoint: Path, tmp_path: Path) -> None:
    image = compile_directory(checkpoint, OPTIONS, lambda line: None).image
    for value, expected in (("abc", []), (None, []), ([1, "a"], ["1", "a"])):
        image.manifest.notes["warnings"] = value  # pyright: ignore[reportIndexIssue]
        assert models.Loaded(image, None).warnings == expected


@pytest.mark.slow
def test_a_text_cut_inside_a_character_is_the_same_streamed_and_reported(
    checkpoint: Path, tmp_path: Path
) -> None:
    """The tiny model's own tokens stand for bytes here: what it says is full of broken
    characters.
    """
    own = shutil.copytree(checkpoint, tmp_path / "own")
    alphabet = test_tokenizer_files.ALPHABET
    bytes_of = {0: "<unk>", 1: "<pad>", 2: "</s>"}
    # 68 tokens of the upper half, where every byte is part of a longer character.
    upper = [one for one in alphabet if ord(one) >= 0xC0 and ord(one) < 0x100][:34] + [
        one for one in alphabet if ord(one) >= 0x100
    ][:34]
    bytes_of |= {3 + index: one for index, one in enumerate(upper)}
    tokenizer = json.loads((own / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {token: index for index, token in bytes_of.items()}
    tokenizer["decoder"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    (own / "tokenizer.json").write_text(json.dumps(tokenizer))
    (own / "calibration.txt").write_text("Ã\n")
    random = np.random.default_rng(salted(5))
    for seed in range(6):
        prompt = ",".join(map(str, [2, *random.integers(3, 71, 4)]))
        call = ["run", own, "--device", "golden", "--prompt-tokens", prompt, "--seed", seed]
        call += ["--max-tokens", 3 + seed, "--top-k", 60]
        report = json.loads(command(*call, "--json").stdout)
        printed = command(*call).stdout.split("\n            tiny on")[0]
        whole = Tokenizer.from_file(str(own / "tokenizer.json")).decode(
            report["prompt_tokens"] + report["tokens"]
        )
        assert printed.startswith(whole)
        assert whole.endswith(report["text"])


def test_this_python_is_part_of_the_key(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = models._compile_key(checkpoint, OPTIONS)
    assert key == models._compile_key(checkpoint, OPTIONS)
    monkeypatch.setattr(models, "version", lambda package: "0")
    assert key != models._compile_key(checkpoint, OPTIONS)
    assert sys.version_info >= (3, 11)
