# SPDX-License-Identifier: Apache-2.0
"""The tensors of a checkpoint's weight files under the names their model gives them, whatever wraps
it.

`model.decoder.layers.0.fc1.bias`, `module.decoder.layers.0.fc1.bias` and
`layers.0._orig_mod.fc1.bias` are all `layers.0.fc1.bias`: a name begins at its layer, or else is
its last two parts, and parts with a leading underscore are wrappers that compilers and trainers put
around a module.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.safetensors_file import SafetensorsFile
from meadow.model.shaped_tensors import NamedTensors

__all__ = ["StoredTensors", "model_name"]

_Place = tuple[SafetensorsFile, str]
"""A file, and what the tensor is called there."""

_PIECE = 1 << 16

_MODEL_NAME = re.compile(r"(?:^|\.)(layers\.\d+\..+|[^.]+\.[^.]+)$")


def model_name(stored: str) -> str:
    """A tensor's name in its model, without wrappers in front or in between."""
    parts = ".".join(part for part in stored.split(".") if not part.startswith("_"))
    match = _MODEL_NAME.search(parts)
    return parts if match is None else match[1]


class StoredTensors(NamedTensors):
    """All tensors of some weight files; none is read before it is asked for.

    files: of the weights; index: stored name -> file name, as far as an index tells.

    A tensor may be there twice, in two types too if the coarser one is the finer one rounded; then
    the finer one counts. CheckpointError for a damaged file, for an index that names a tensor which
    its file lacks, and for a tensor that is there twice with different values.
    """

    def __init__(self, files: Sequence[Path], index: Mapping[str, str]) -> None:
        opened = {path.name: SafetensorsFile(path) for path in files}
        for stored, file in index.items():
            if stored not in opened[file].shapes:
                raise CheckpointError(f"the index places {stored:.80} in {file}, which lacks it")
        self._places: dict[str, _Place] = {}
        for file in opened.values():
            for stored in file.shapes:
                name = model_name(stored)
                place = self._places.setdefault(name, (file, stored))
                if place == (file, stored):
                    continue
                finer = _finer(place, (file, stored))
                if finer is None:
                    raise CheckpointError(
                        f"the weights must hold {name} once, not twice with different values "
                        f"({place[1]:.80} and {stored:.80})"
                    )
                self._places[name] = finer

    @property
    def names(self) -> Collection[str]:
        """Of all tensors, without what wraps the model."""
        return self._places.keys()

    def stored_name(self, name: str) -> str:
        """What the file calls the tensor."""
        return self._places[name][1]

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        file, stored = self._places[name]
        return file.shapes[stored]

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32."""
        file, stored = self._places[name]
        return file.read(stored)

    def finer(self, first: str, second: str) -> str | None:
        """Which of two tensors with the same values, but for their types' rounding, holds more of
        them; None if they differ.
        """
        place = _finer(self._places[first], self._places[second])
        return None if place is None else first if place == self._places[first] else second


def _finer(first: _Place, second: _Place) -> _Place | None:
    (one, name), (other, twin) = first, second
    if one.shapes[name] != other.shapes[twin]:
        return None
    values, others = one.read(name), other.read(twin)
    if _rounds_to(values, others, other.dtype(twin)):
        return first
    return second if _rounds_to(others, values, one.dtype(name)) else None


def _rounds_to(fine: np.ndarray, coarse: np.ndarray, dtype: str) -> bool:
    """True if `coarse` is what is left of `fine` in a type of the file; in pieces, since tables are
    large.
    """
    pairs = (
        (fine.reshape(-1)[at : at + _PIECE], coarse.reshape(-1)[at : at + _PIECE])
        for at in range(0, fine.size, _PIECE)
    )
    return all(np.array_equal(_rounded(one, dtype), two, equal_nan=True) for one, two in pairs)


def _rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 values as a type of the file holds them, to the nearest, ties to even."""
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        bits = values.view(np.uint32).astype(np.uint64)
        nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return np.where(np.isfinite(values), nearest.astype(np.uint32).view(np.float32), values)
    return values
