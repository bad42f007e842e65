# SPDX-License-Identifier: Apache-2.0
"""Checkpoints in the reference implementation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

__all__ = ["in_transformers"]


def in_transformers(directory: Path, kind: Any) -> Any:
    """The checkpoint as `kind`, a model class of transformers, loads it; every tensor of it is
    used.
    """
    model, report = kind.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    return model.eval()
