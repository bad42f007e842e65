# SPDX-License-Identifier: Apache-2.0
"""Reading of a GGUF file, the format of llama.cpp: metadata, and tensors one at a time.

The library `gguf` parses the file and dequantises its tensors. What it does not do is notice the
end of the file: it takes a short read for a short value. `_Reader` bounds every read.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.model.shaped_tensors import NamedTensors

__all__ = ["GgufFile", "is_gguf", "open_gguf"]

_MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """True for a file that begins as GGUF does, or is named so."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC or path.suffix == ".gguf"


def open_gguf(path: Path) -> GgufFile:
    """The file, opened once however often it is asked for: a vocabulary takes seconds to parse.

    CheckpointError as `GgufFile`.
    """
    about = path.stat()
    return _opened(path.resolve(), about.st_size, about.st_mtime_ns)


class _CutShort(Exception):
    """A value of the file lies beyond its end."""


class _Reader(gguf.GGUFReader):
    """The library's reader, but every value must lie within the file.

    The map is read as a plain array: views of a `memmap` are slow to make, and a vocabulary takes
    one for each token.
    """

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        if isinstance(self.data, np.memmap):
            self.data = self.data.view(np.ndarray)
        end = offset + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise _CutShort(f"it has {len(self.data)} bytes, not {end}")
        return super()._get(offset, dtype, count, override_order)


class GgufFile(NamedTensors):
    """One file; its tensors are `model_tensors.Stored`.

    Members
    -------
    path : the file.
    architecture : `general.architecture`, as far as the file says one.

    CheckpointError if it is no GGUF file, cut short or corrupt, or if a tensor has a type that
    cannot be dequantised.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = _open(path)
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        for tensor in self._reader.tensors:
            if not _is_readable(tensor.tensor_type):
                names = ", ".join(kind.name for kind in _all_types() if _is_readable(kind))
                raise CheckpointError(
                    f"{tensor.name:.80} of {path.name} must be of a type that can be dequantised "
                    f"({names}), not {tensor.tensor_type.name}"
                )
        self.architecture = self.value("general.architecture")

    def value(self, key: str) -> Any:
        """A value of the metadata, an array as a list; None if it is not there."""
        field = self._reader.get_field(key)
        if field is None:
            return None
        try:
            return field.contents()
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{key} of {self.path.name} must be UTF-8: {error}") from None

    @property
    def names(self) -> Collection[str]:
        """Of all tensors, without what wraps the model."""
        return self._tensors.keys()

    def stored_name(self, name: str) -> str:
        """What the file calls the tensor: the same."""
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape; GGUF's own order of dimensions is the reverse."""
        return tuple(reversed(self._tensors[name].shape.tolist()))

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32, a copy of its own."""
        tensor = self._tensors[name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        return np.array(values, np.float32).reshape(self.shape(name))

    def finer(self, first: str, second: str) -> str | None:
        """The first of two tensors if they are equal, else None."""
        return first if np.array_equal(self.read(first), self.read(second)) else None


@functools.lru_cache(maxsize=1)
def _opened(path: Path, size_bytes: int, changed_ns: int) -> GgufFile:
    """Size and time of the last change tell one file from the one that took its place."""
    return GgufFile(path)


def _open(path: Path) -> _Reader:
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path.name} is cut short: it is empty")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise CheckpointError(f"{path.name} must begin with GGUF; it does not")
    try:
        reader = _Reader(path)
    except _CutShort as error:
        raise CheckpointError(f"{path.name} is cut short or corrupt: {error}") from None
    except (ValueError, KeyError, IndexError, OverflowError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is corrupt: {error}") from None
    if reader.byte_order != "I":
        raise CheckpointError(f"{path.name} must have the byte order of this machine")
    return reader


def _all_types() -> list[gguf.GGMLQuantizationType]:
    return list(gguf.GGMLQuantizationType)


def _is_readable(kind: gguf.GGMLQuantizationType) -> bool:
    """True if the library dequantises the type: tried on a block of zeros."""
    _, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    try:
        with np.errstate(all="ignore"):
            gguf.dequantize(np.zeros((1, block_bytes), np.uint8), kind)
    except NotImplementedError:
        return False
    return True
