# SPDX-License-Identifier: Apache-2.0
"""The examples as a user runs them: a process of its own in another folder, on the simulated
chip.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from examples import batch, bus_error, generate
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from meadow.compiler.image import write_image
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

ROOT = Path(__file__).parents[2]
PROMPT = "Once upon a time"

pytestmark = [pytest.mark.sim]


@pytest.fixture(scope="module")
def image() -> Image:
    return load_model(None, CompileOptions(chosen=choose_config("tiny")), print).image


def run(name: str, folder: Path, *arguments: str) -> str:
    """Standard output of an example that ends well."""
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    return result.stdout


def golden_texts(image: Image, prompts: Sequence[str], count: int) -> list[str]:
    """Each prompt with `count` tokens behind it, written by the golden model, one after the
    other.
    """
    tokenizer, texts = TextTokenizer(image), []
    for prompt in prompts:
        tokens = tokenizer.encode(prompt)
        with GoldenDevice(image.manifest.config, Session.window_bytes(image)) as device:
            texts.append(
                tokenizer.decode(tokens + list(Session(device, image).generate(tokens, count)))
            )
    return texts


def test_generate_writes_what_golden_writes_and_shows_the_counters(
    image: Image, tmp_path: Path
) -> None:
    printed = run("generate.py", tmp_path)
    assert golden_texts(image, [PROMPT], generate.TOKENS)[0] in printed
    decode = printed[printed.index("decode: ") :]
    assert decode.startswith(f"decode: {generate.TOKENS - 1} tokens, {generate.TOKENS - 1} steps")
    counters = dict(re.findall(r"^  (\w+) +([\d,]+)$", decode, re.M))
    weights = sum(facts.size_bytes for facts in image.manifest.matrices)
    assert int(counters["bytes_weights"].replace(",", "")) >= weights * (generate.TOKENS - 1)
    assert int(counters["cycles"].replace(",", "")) > 0


@pytest.mark.slow  # runs as long as the one above
def test_generate_takes_an_image_file(image: Image, tmp_path: Path) -> None:
    write_image(image, tmp_path / "a model.meadow")
    printed = run("generate.py", tmp_path, "a model.meadow")
    assert golden_texts(image, [PROMPT], generate.TOKENS)[0] in printed


def test_generate_refuses_what_is_no_model_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.meadow").write_text("no image")
    for argument in ("notes.meadow", "missing.meadow"):
        command = [sys.executable, str(ROOT / "examples" / "generate.py"), argument]
        result = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8"
        )
        assert result.returncode == 1 and not result.stdout
        assert result.stderr.count("\n") == 1 and argument in result.stderr


def test_a_bus_error_is_named_and_the_device_goes_on(image: Image, tmp_path: Path) -> None:
    printed = run("bus_error.py", tmp_path)
    assert "code:    READ_RESPONSE" in printed
    address = 0x1000_0000 + image.manifest.regions["embeddings"].offset * BEAT_BYTES
    assert f"address: {address:#x}, port 0" in printed
    found = re.search(r"^command: (\d+) \((.+)\)$", printed, re.M)
    assert found is not None and image.manifest.labels[int(found[1])] == found[2]
    assert "tokens in the cache: 0" in printed
    assert f"again:   {golden_texts(image, [PROMPT], bus_error.TOKENS)[0]}\n" in printed


@pytest.mark.slow
def test_a_batch_writes_what_each_sequence_writes_alone(image: Image, tmp_path: Path) -> None:
    printed = run("batch.py", tmp_path)
    for text in golden_texts(image, batch.PROMPTS, batch.TOKENS):
        assert f"{text}\n" in printed
    assert f"last step: {len(batch.PROMPTS)} tokens" in printed


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_every_example_is_linked_from_readme_and_short(example: Path) -> None:
    assert f"examples/{example.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
