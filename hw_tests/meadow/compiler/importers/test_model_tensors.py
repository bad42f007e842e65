# SPDX-License-Identifier: Apache-2.0
"""Tensors of a model that is walked layer by layer: each is read once, none stays."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hw_tests.meadow.compiler.llama_checkpoint import config_of, llama_weights
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.compiler.importers.checkpoint_folder import weight_files
from meadow.compiler.importers.family import TensorLayout
from meadow.compiler.importers.llama import LLAMA
from meadow.compiler.importers.model_tensors import ModelTensors, tensor_sources
from meadow.compiler.importers.stored_tensors import StoredTensors
from workbench.campaigns.llama_files import write_directory


class Counted(StoredTensors):
    """Counts how often each tensor is read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(*weight_files(directory))
        self.reads: Counter[str] = Counter()

    def read(self, name: str) -> np.ndarray:
        self.reads[name] += 1
        return super().read(name)


@pytest.fixture
def tensors(tmp_path: Path) -> tuple[ModelTensors, Counted]:
    config = config_of("llama", "deep")
    directory = write_directory(tmp_path, config, llama_weights(config))
    description = load_checkpoint(directory).description
    stored = Counted(directory)
    sources = tensor_sources(stored, LLAMA.layout, description, config)
    assert not stored.reads
    return ModelTensors(stored, LLAMA.layout, description, sources), stored


def test_names_and_lengths_are_known_without_reading(
    tensors: tuple[ModelTensors, Counted],
) -> None:
    found, stored = tensors
    checked = Counter(stored.reads)
    assert set(checked.values()) == {1}, "each is looked at once, to see that it is finite"
    assert list(found) == list(found.shapes) and len(found) == len(found.shapes)
    assert "layers.3.q.weight" in found and "layers.4.q.weight" not in found
    assert stored.reads == checked
    with pytest.raises(KeyError):
        found["layers.4.q.weight"]


def test_a_walk_reads_each_tensor_once_and_keeps_one_layer(
    tensors: tuple[ModelTensors, Counted],
) -> None:
    found, stored = tensors
    stored.reads.clear()
    for name in found:
        for _ in range(3):
            assert found[name].shape == found.shapes[name]
        assert found[name] is found[name]
    assert set(stored.reads.values()) == {1}
    found["layers.0.q.weight"]
    assert stored.reads["layers.0.self_attn.q_proj.weight"] == 2


def test_memory_holds_a_layer_not_the_model(tmp_path: Path) -> None:
    config = config_of("llama", "deep", hidden_size=480, num_hidden_layers=12)
    directory = write_directory(tmp_path, config, llama_weights(config))
    found = load_checkpoint(directory).tensors
    whole = sum(array.nbytes for array in found.values())
    tracemalloc.start()
    for name in found:
        found[name]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 4


def test_a_layout_has_defaults_that_change_nothing() -> None:
    layout = TensorLayout(title="a", stored_name=str)
    array = np.ones(3)
    assert layout.is_stored({}, "head") and not layout.unused
    assert layout.arrange(None, "head", array) is array  # pyright: ignore[reportArgumentType]
