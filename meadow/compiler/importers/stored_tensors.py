# SPDX-License-Identifier: Apache-2.0
"""The tensors of a checkpoint's weight files under the names their model gives them, whatever wraps it.

`model.decoder.layers.0.fc1.bias`, `module.decoder.layers.0.fc1.bias` and `layers.0._orig_mod.fc1.bias` are all
`layers.0.fc1.bias`: a name begins at its layer, or else is its last two parts, and parts with a leading underscore are
wrappers that compilers and trainers put around a module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.safetensors_file import SafetensorsFile

__all__ = ["StoredTensors", "model_name"]

_MODEL_NAME = re.compile(r"(?:^|\.)(layers\.\d+\..+|[^.]+\.[^.]+)$")


def model_name(stored: str) -> str:
    """A tensor's name in its model, without wrappers in front or in between."""
    parts = ".".join(part for part in stored.split(".") if not part.startswith("_"))
    match = _MODEL_NAME.search(parts)
    return parts if match is None else match[1]


class StoredTensors:
    """All tensors of some weight files; none is read before it is asked for.

    files: of the weights; index: stored name -> file name, as far as an index tells.

    CheckpointError for a damaged file, for an index that names a tensor which its file lacks, and for a tensor that is there
    twice with different values.
    """

    def __init__(self, files: Sequence[Path], index: Mapping[str, str]) -> None:
        opened = {path.name: SafetensorsFile(path) for path in files}
        for stored, file in index.items():
            if stored not in opened[file].shapes:
                raise CheckpointError(f"the index places {stored:.80} in {file}, which lacks it")
        self._places: dict[str, tuple[SafetensorsFile, str]] = {}
        for file in opened.values():
            for stored in file.shapes:
                name = model_name(stored)
                place = self._places.setdefault(name, (file, stored))
                if place != (file, stored) and not _equal(place, (file, stored)):
                    raise CheckpointError(
                        f"the weights must hold {name} once, not twice with different values "
                        f"({place[1]:.80} and {stored:.80})"
                    )

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

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

    def equal(self, first: str, second: str) -> bool:
        """True if two tensors have one shape and the same values."""
        return _equal(self._places[first], self._places[second])


def _equal(first: tuple[SafetensorsFile, str], second: tuple[SafetensorsFile, str]) -> bool:
    (one, name), (other, twin) = first, second
    if one.shapes[name] != other.shapes[twin]:
        return False
    return np.array_equal(one.read(name), other.read(twin))
