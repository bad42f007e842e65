# SPDX-License-Identifier: Apache-2.0
"""Images: same input same bytes, whole or not at all, readable by any safetensors reader."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from hw_tests.meadow.compiler.family_models import describe
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image, write_image
from meadow.compiler.lowering.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import named_config
from meadow.spec.contract import contract_hash
from meadow.spec.image import DATA_ALIGNMENT, TENSOR_TYPES

TINY = named_config("tiny")
DESCRIPTION = opt_description(
    layers=1, width=40, heads=2, head_dim=20, hidden=48, max_positions=100, bos_token=0, eos_token=1
)


def model() -> QuantisedModel:
    return synthetic_model(DESCRIPTION, hidden_block=32, seed=salted(1))


def image(**more: object) -> Image:
    options = {"config_name": "tiny", "tokenizer_json": b'{"a": 1}', **more}
    return compile_image(model(), TINY, **options)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(image(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert image(tokenizer_json='{"a": 1}').manifest == image().manifest


def test_file_is_safetensors_with_aligned_data(tmp_path: Path) -> None:
    made = image()
    write_image(made, tmp_path / "image")
    with safe_open(tmp_path / "image", "np") as file:
        assert set(file.keys()) == set(TENSOR_TYPES)
        for name in TENSOR_TYPES:
            assert (file.get_tensor(name) == getattr(made, name)).all()
        assert json.loads(file.metadata()["meadow"])["config_name"] == "tiny"
    length = int.from_bytes((tmp_path / "image").read_bytes()[:8], "little")
    assert (8 + length) % DATA_ALIGNMENT == 0


def test_manifest_says_what_was_compiled() -> None:
    made, program = image(context=50), compile_program(model(), TINY, context=50)
    manifest = made.manifest
    assert manifest.contract_hash == contract_hash(TINY)
    assert (manifest.context, manifest.hidden_block, manifest.chunk_tokens) == (50, 32, 64)
    assert manifest.commands == len(program.commands) == len(manifest.labels)
    assert manifest.cache.sequence_beats == program.cache.sequence_beats
    assert manifest.cache.block_stride == program.cache.block_stride == 64
    assert manifest.kv_base(2) == program.kv_start + 2 * program.cache.sequence_beats
    assert manifest.window_beats(3) == manifest.kv_base(3)
    assert {facts.name for facts in manifest.matrices} == {
        *(f"layers.0.{name}" for name in ("q", "k", "v", "o", "fc1.0", "fc2.0", "fc1.1", "fc2.1")),
        *(
            f"head.{piece.first_channel // manifest.logits[0].channels}"
            for piece in manifest.logits
        ),
    }
    facts = next(entry for entry in manifest.matrices if entry.name == "layers.0.fc1.1")
    assert (facts.outputs, facts.inputs) == (16, 40)
    assert facts.bits_per_weight == 8 * facts.size_bytes / (16 * 40)
    for name in TENSOR_TYPES:
        digest = hashlib.sha256(getattr(made, name).tobytes()).hexdigest()
        assert manifest.tensors_sha256[name] == digest
    assert made.embed_tokens.shape == (70, 48) and not made.embed_tokens[:, 40:].any()


def test_embed_equals_the_quantised_model_and_checks_its_input() -> None:
    made, source = image(context=50), model()
    tokens, positions = np.array([0, 69, 5]), np.array([49, 0, 3])
    rows = made.embed(tokens, positions)
    assert (rows[:, :40] == source.embed(tokens, positions)).all() and not rows[:, 40:].any()
    with pytest.raises(ValueError, match="a token must be in 0..69, not 70"):
        made.embed([70], [0])
    with pytest.raises(ValueError, match="a token must be in 0..69, not 10000000000000000000"):
        made.embed([10**19], [0])
    with pytest.raises(ValueError, match="a position must be in 0..49, not 50"):
        made.embed([0], [50])


def test_unwritable_output_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write the image: No such file or directory.*missing"):
        write_image(image(), tmp_path / "missing" / "image")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    with pytest.raises(OSError, match="cannot write the image: .*folder"):
        write_image(image(), tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_a_failed_write_keeps_the_old_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "image"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="cannot write the image: No space left on device"):
        write_image(image(), target)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_notes_travel_along() -> None:
    noted = replace(model(), notes={"recipe": "x"})
    made = compile_image(noted, TINY, config_name="tiny", tokenizer_json=b"{}")
    assert made.manifest.notes == {"recipe": "x"}


@pytest.mark.parametrize("family", ["llama", "vit", "bert"])
def test_images_of_other_families(family: str, tmp_path: Path) -> None:
    source = synthetic_model(
        describe(family, heads=2, head_dim=20), hidden_block=32, seed=salted(0)
    )
    made = compile_image(source, TINY, config_name="tiny", tokenizer_json="{}")
    write_image(made, tmp_path / "image")
    with safe_open(tmp_path / "image", "np") as file:
        for name in TENSOR_TYPES:
            assert (file.get_tensor(name) == getattr(made, name)).all()
            assert file.get_tensor(name).shape == getattr(made, name).shape
    rotary = family == "llama"
    assert made.embed_positions.shape == (0 if rotary else 150, 48)
    assert made.rotary.shape == ((150, 32) if rotary else (0, 0))
    tokens, positions = np.array([0, 49, 5]), np.array([149, 0, 3])
    assert (made.embed(tokens, positions)[:, :40] == source.embed(tokens, positions)).all()
    regions = set(made.manifest.regions)
    head = {"argmax"} if family != "bert" else set()
    assert regions == {"program", "embeddings", "logits", "dump"} | head | (
        {"rotary"} if rotary else set()
    )
