# SPDX-License-Identifier: Apache-2.0
"""Tensors of one layer at a time: each is made once on a walk, and nothing of a layer behind is
kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from meadow.compiler.quantise.kept_tensors import KeptTensors


class Counted(Mapping[str, np.ndarray]):
    """Says how often each tensor was made."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.made = names, Counter[str]()

    def __getitem__(self, name: str) -> np.ndarray:
        self.made[name] += 1
        return np.full(3, self.names.index(name), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names


NAMES = ["embed_tokens", "layers.0.q.weight", "layers.0.k.weight", "layers.1.q.weight", "head"]


def test_a_walk_makes_every_tensor_once() -> None:
    source = Counted(NAMES)
    kept = KeptTensors(source)
    for name in NAMES:
        for _ in range(3):
            assert kept[name].dtype == np.float64 and kept[name][0] == NAMES.index(name)
    assert set(source.made.values()) == {1} and len(source.made) == len(NAMES)


def test_a_layer_is_dropped_when_another_place_is_asked_for() -> None:
    source = Counted(NAMES)
    kept = KeptTensors(source, np.float32)
    for name in ("layers.0.q.weight", "layers.1.q.weight", "layers.0.q.weight", "head"):
        assert kept[name].dtype == np.float32
    assert source.made["layers.0.q.weight"] == 2
    # What belongs to no layer is one place: the head may lie in the embedding.
    for name in ("embed_tokens", "head"):
        kept[name]
    assert source.made["head"] == 1


def test_names_are_those_of_the_source() -> None:
    kept = KeptTensors(Counted(NAMES))
    assert list(kept) == NAMES and len(kept) == len(NAMES)
    assert "head" in kept and "tail" not in kept
