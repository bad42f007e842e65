# SPDX-License-Identifier: Apache-2.0
"""Tensors of a model that are made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping

import numpy as np

__all__ = ["NamedTensors", "ShapedTensors"]


class NamedTensors(ABC):
    """Tensors whose names are known before one is read: names can be counted, walked and found."""

    @property
    @abstractmethod
    def names(self) -> Collection[str]:
        """All names, in their order."""

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class ShapedTensors(NamedTensors, Mapping[str, np.ndarray]):
    """Tensors under their canonical names, of which only the names and shapes are known before one
    is asked for.

    shapes : of all of them, in the order of the data flow.
    """

    shapes: Mapping[str, tuple[int, ...]]

    @property
    def names(self) -> Collection[str]:
        return self.shapes.keys()
