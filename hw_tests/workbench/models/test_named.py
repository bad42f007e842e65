# SPDX-License-Identifier: Apache-2.0
"""A model as a command line names it: an image brings its configuration, and what it cannot serve
is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hw_tests.workbench.commands import meadow
from meadow.spec.image import DIGEST_KEY, MANIFEST_KEY

run = partial(meadow, "run")


def report(*arguments: object) -> dict[str, Any]:
    return json.loads(run(*arguments, "--json").stdout)


def change_manifest(path: Path, change: dict[str, Any]) -> None:
    """Other values in the manifest of an image, with the digest that belongs to them."""
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    manifest = json.loads(header["__metadata__"][MANIFEST_KEY]) | change
    text = json.dumps(manifest)
    header["__metadata__"] = {
        MANIFEST_KEY: text,
        DIGEST_KEY: hashlib.sha256(text.encode()).hexdigest(),
    }
    data = json.dumps(header).encode()
    rest = path.read_bytes()[8 + length :]
    path.write_bytes(len(data).to_bytes(8, "little") + data + rest)


def test_an_image_of_another_configuration_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / "model.meadow"
    meadow("compile", checkpoint, "-o", image, "--config", "small")
    result = run(image, "--device", "golden", "--config", "tiny", code=2)
    assert result.stderr == (
        f"meadow: {image} was compiled for configuration 'small', not 'tiny': "
        "leave --config out or give --config small\n"
    )


def test_an_image_brings_its_configuration(checkpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / "model.meadow"
    meadow("compile", checkpoint, "-o", image, "--config", "small")
    common = ("--device", "golden", "--prompt", "abc", "--max-tokens", 2)
    own, named = report(image, *common), report(image, *common, "--config", "small")
    assert own == named and own["config"] == "small" and own["matches_golden"]
    verified = meadow("verify", image, "--device", "golden", "--tokens", 2, "--json")
    assert json.loads(verified.stdout)["config"] == "small"


@pytest.mark.parametrize("command", ["run", "verify"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contract_hash": "0" * 64}, "gives .* for the same configuration: compile it again"),
        ({"format_version": 1}, "the image format version must be 3, not 1: compile it again"),
    ],
)
def test_an_image_of_another_version_is_to_be_compiled_again(
    checkpoint: Path, tmp_path: Path, command: str, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.meadow"
    meadow("compile", checkpoint, "-o", path)
    change_manifest(path, change)
    result = meadow(command, path, "--device", "golden", code=2)
    assert result.stderr.count("\n") == 1
    assert re.search(message, result.stderr)


def test_an_image_of_a_single_step_is_refused_before_a_device_is_opened(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "workbench.run.command.open_device", lambda *_, **__: pytest.fail("too early")
    )
    path = tmp_path / "model.meadow"
    meadow("compile", checkpoint, "-o", path)
    for step, arguments in (
        ([0, 3], ("--prompt-tokens", "1,2,3", "--max-tokens", 2)),
        ([0, 3], ("--prompt-tokens", "1,2", "--max-tokens", 1)),
        ([4, 2], ("--prompt-tokens", "1,2", "--max-tokens", 1)),
        ([0, 2], ("--prompt-tokens", "1,2", "--max-tokens", 1, "--chunk", 1)),
    ):
        change_manifest(path, {"step": step})
        message = run(path, *arguments, code=2).stderr
        assert message.startswith(
            f"meadow: this image was compiled for one step of {step[1]} tokens from position "
            f"{step[0]} on: "
        )
        assert message.count("\n") == 1


def test_a_corrupt_image_is_one_line(checkpoint: Path, tmp_path: Path) -> None:
    image = tmp_path / "model.meadow"
    meadow("compile", checkpoint, "-o", image)
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    result = run(image, "--device", "golden", "--json", code=2)
    assert result.stderr == f"meadow: {image} is corrupt: wrong checksum of tensor tokenizer\n"
    image.write_bytes(data[:-1])
    result = run(image, "--device", "golden", "--json", code=2)
    assert result.stderr.startswith(f"meadow: {image} is truncated: tensor tokenizer ends at byte")
