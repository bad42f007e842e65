# SPDX-License-Identifier: Apache-2.0
"""Tensors of the layer that was asked for last, so that a model which is walked layer by layer is
made once and never lies in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

__all__ = ["KeptTensors"]


class KeptTensors(Mapping[str, np.ndarray]):
    """A model's tensors in one type; those of a layer are kept until one of another layer is asked
    for, and so are all tensors that belong to no layer.

    tensors : by canonical name. dtype : what they become.
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray], dtype: type[np.floating] = np.float64
    ) -> None:
        self._tensors, self._dtype = tensors, dtype
        self._kept: dict[str, np.ndarray] = {}
        self._place = ""

    def __getitem__(self, name: str) -> np.ndarray:
        place = ".".join(name.split(".")[:2]) if name.startswith("layers.") else ""
        if place != self._place:
            self._kept.clear()
            self._place = place
        if name not in self._kept:
            self._kept[name] = np.asarray(self._tensors[name], self._dtype)
        return self._kept[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)
