# SPDX-License-Identifier: Apache-2.0
"""The weights of MiniLM: the ones that figures were measured on, or a message that says what is
wrong.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from workbench.packing import minilm
from workbench.packing.minilm import MiniLmError, load_minilm, minilm_path


@pytest.mark.skipif(minilm_path() is None, reason="needs the extra `minilm`: 91 MB of weights")
def test_the_matrices_of_six_layers() -> None:
    matrices = load_minilm()
    assert len(matrices) == 36 and sum(matrix.size for matrix in matrices.values()) == 10_616_832
    for layer in range(6):
        names = [name for name in matrices if name.startswith(f"layer.{layer}.")]
        assert len(names) == 6
        assert matrices[f"layer.{layer}.intermediate.dense"].shape == (1536, 384)
        assert matrices[f"layer.{layer}.output.dense"].shape == (384, 1536)
    assert all(matrix.dtype == np.float32 for matrix in matrices.values())


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "_PACKAGE", "no_such_package_of_weights")
    assert minilm_path() is None
    with pytest.raises(MiniLmError, match="not installed: they are the extra `minilm`"):
        load_minilm()


def stored(path: Path, matrices: int) -> str:
    """Write weights with so many matrices of layers; returns their SHA-256."""
    tensors = {f"encoder.layer.{n}.weight": np.ones((2, 2), np.float32) for n in range(matrices)}
    save_file({**tensors, "embeddings.weight": np.ones((2, 2), np.float32)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_other_weights_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    digest = stored(path, 36)
    monkeypatch.setattr(minilm, "minilm_path", lambda: path)
    with pytest.raises(MiniLmError) as error:
        load_minilm()
    assert str(error.value) == (
        f"{path} must have the SHA-256 {minilm.MINILM_SHA256}, not {digest}"
    )


@pytest.mark.parametrize("count", [35, 36])
def test_matrices_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int) -> None:
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr(minilm, "MINILM_SHA256", stored(path, count))
    monkeypatch.setattr(minilm, "minilm_path", lambda: path)
    if count == 36:
        assert "layer.0" in load_minilm()
        return
    with pytest.raises(MiniLmError, match="must hold 36 matrices of layers, not 35"):
        load_minilm()
