# SPDX-License-Identifier: Apache-2.0
"""Tensors of a model that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

__all__ = ["ShapedTensors"]


class ShapedTensors(Mapping[str, np.ndarray]):
    """Tensors under their canonical names, of which only the names and shapes are known before one
    is asked for.

    shapes : of all of them, in the order of the data flow.
    """

    shapes: Mapping[str, tuple[int, ...]]

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)
