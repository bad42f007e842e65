# SPDX-License-Identifier: Apache-2.0
"""Descriptions and random checkpoints of small OPT-style decoders, of which a test names only what
matters to it.
"""

from __future__ import annotations

import numpy as np

from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.spec.model import ModelDescription

__all__ = ["opt_description", "random_checkpoint"]


def opt_description(**sizes: int | bool) -> ModelDescription:
    """OPT's rules with these sizes, the others small; `kv_heads` are the heads unless given."""
    values: dict[str, int | bool] = {"layers": 2, "width": 48, "heads": 3, "head_dim": 16}
    values |= {"hidden": 100, "vocabulary": 70, "max_positions": 64}
    values |= {"tied_head": True, "bos_token": 2, "eos_token": 2}
    return ModelDescription.of_family("opt", **(values | sizes))


def random_checkpoint(
    description: ModelDescription, *, seed: int, embedding: float = 0.5, heavy_tails: bool = True
) -> Checkpoint:
    """Random float32 tensors with which activations stay near 1.

    embedding : standard deviation of the embedding rows. heavy_tails : matrices are drawn from
    Student's t with 6 degrees of freedom, else from a normal distribution.
    """
    random = np.random.default_rng(salted(seed))
    tensors = {}
    for name, shape in description.tensor_shapes.items():
        if name.endswith("norm.weight"):
            array = 1 + 0.2 * random.standard_normal(shape)
        elif name.endswith("bias"):
            array = 0.1 * random.standard_normal(shape)
        elif name.startswith("embed"):
            array = embedding * random.standard_normal(shape)
        else:
            drawn = random.standard_t(6, shape) if heavy_tails else random.standard_normal(shape)
            array = drawn / np.sqrt(shape[1])
        tensors[name] = array.astype(np.float32)
    return Checkpoint(description=description, tensors=tensors, tokenizer_json=None)
