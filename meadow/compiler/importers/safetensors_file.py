# SPDX-License-Identifier: Apache-2.0
"""Reading of safetensors files with NumPy only, a tensor at a time.

Layout: little-endian u64 header length, JSON header, data. The file is mapped: its header is
checked as a whole when it is opened, and a tensor is read when it is asked for.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError

__all__ = ["SafetensorsFile"]

_HEADER_LENGTH_BYTES = 8
_ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_DIMENSIONS = 8
_MAX_HEADER_BYTES = (
    100_000_000  # as in the reference reader: more is no header, and is not taken into memory
)


@dataclass(frozen=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class SafetensorsFile:
    """One file; CheckpointError if it is truncated or corrupt, or holds a type other than F32, F16
    and BF16.

    Members
    -------
    path : the file.
    shapes : name -> shape of every tensor.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size_bytes = path.stat().st_size
        if size_bytes < _HEADER_LENGTH_BYTES:
            raise CheckpointError(
                f"{path.name} is truncated: {size_bytes} bytes, not even a header"
            )
        raw = np.memmap(path, np.uint8, mode="r")
        data_start = _HEADER_LENGTH_BYTES + int.from_bytes(
            raw[:_HEADER_LENGTH_BYTES].tobytes(), "little"
        )
        if data_start > _MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path.name} is corrupt: its header must have at most {_MAX_HEADER_BYTES} bytes, "
                f"not {data_start - _HEADER_LENGTH_BYTES}"
            )
        if data_start > size_bytes:
            raise CheckpointError(
                f"{path.name} is truncated or corrupt: its header ends at byte {data_start} "
                f"of {size_bytes}"
            )
        self._entries = _entries(path.name, raw[_HEADER_LENGTH_BYTES:data_start].tobytes())
        self._data = raw[data_start:]
        self._check()
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}

    def dtype(self, name: str) -> str:
        """How the tensor is stored: F32, F16 or BF16."""
        return self._entries[name].dtype

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32, a copy of its own."""
        entry = self._entries[name]
        content = self._data[entry.start : entry.end]
        if entry.dtype == "BF16":
            # bfloat16 is the upper half of a float32.
            values = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            stored = np.frombuffer(content, "<f4" if entry.dtype == "F32" else "<f2")
            values = stored.astype(np.float32)
        return values.reshape(entry.shape)

    def _check(self) -> None:
        """Every tensor has a known type and the bytes of its shape, and they follow each other up
        to the end.
        """
        file, length = self.path.name, len(self._data)
        for name, entry in self._entries.items():
            if entry.dtype not in _ELEMENT_BYTES:
                raise CheckpointError(
                    f"{name} must be of {', '.join(_ELEMENT_BYTES)}, not {entry.dtype}"
                )
            if entry.end > length:
                raise CheckpointError(
                    f"{file} is truncated: {name} ends at data byte {entry.end} of {length}"
                )
            expected_bytes = math.prod(entry.shape) * _ELEMENT_BYTES[entry.dtype]
            found_bytes = max(0, entry.end - entry.start)
            if found_bytes != expected_bytes:
                raise CheckpointError(
                    f"{file} is corrupt: {name} of shape {list(entry.shape)} needs "
                    f"{expected_bytes} bytes, not {found_bytes}"
                )
            if len(entry.shape) > _MAX_DIMENSIONS:
                raise CheckpointError(
                    f"{file} is corrupt: {name} has {len(entry.shape)} dimensions, "
                    f"more than {_MAX_DIMENSIONS}"
                )
        covered = 0
        for start, end in sorted((entry.start, entry.end) for entry in self._entries.values()):
            if start != covered:
                raise CheckpointError(
                    f"{file} is corrupt: tensors must follow each other without gap or overlap, "
                    f"not so at data byte {min(start, covered)}"
                )
            covered = end
        if covered != length:
            raise CheckpointError(
                f"{file} is corrupt: its tensors end at data byte {covered} of {length}"
            )


def _entries(file: str, header: bytes) -> dict[str, _Entry]:
    try:
        return {
            name: _Entry(
                str(entry["dtype"]), _sizes(entry["shape"]), *_sizes(entry["data_offsets"], 2)
            )
            for name, entry in json.loads(header).items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{file} is corrupt: its header is unreadable") from error


def _sizes(values: list[int], count: int | None = None) -> tuple[int, ...]:
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(f"sizes must be whole numbers, not {values}")
    if count is not None and len(values) != count:
        raise ValueError(f"there must be {count} sizes, not {values}")
    return tuple(values)
