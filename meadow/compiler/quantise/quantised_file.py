# SPDX-License-Identifier: Apache-2.0
"""A quantised model as a file of plain data: NumPy's npz, which holds arrays and their types and
nothing that could be run.

Member `model` is JSON (UTF-8, uint8 [bytes]) of the model's parts; where a part is an array it has
the name of the member that holds it, such as `layers.0.q.weight`. Zip's own checksums cover every
member.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from meadow.model.prefix import QuantisedPrefix
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedModel, QuantisedNorm
from meadow.spec.model import ModelDescription

__all__ = ["QuantisedFileError", "read_quantised", "write_quantised"]

_FORMAT = 1
_MODEL = "model"
_PARTS = {
    part.__name__: part
    for part in (
        ModelDescription,
        QuantisedLayer,
        QuantisedLinear,
        QuantisedModel,
        QuantisedNorm,
        QuantisedPrefix,
    )
}
"""The only classes that a file can name."""


class QuantisedFileError(ValueError):
    """A file holds no quantised model; the message says which and why."""


def write_quantised(model: QuantisedModel, path: str | os.PathLike[str]) -> None:
    """Write the model; `read_quantised` gives it back, bit for bit."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps({"format": _FORMAT, _MODEL: _plain(model, "", arrays)})
    arrays[_MODEL] = np.frombuffer(text.encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_quantised(path: str | os.PathLike[str]) -> QuantisedModel:
    """The model in a file of `write_quantised`; QuantisedFileError for any other, OSError if it
    cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as members:
            content = json.loads(members[_MODEL].tobytes())
            if content["format"] != _FORMAT:
                raise ValueError(f"its format must be {_FORMAT}, not {content['format']!r}")
            model = _built(content[_MODEL], members)
    except (ValueError, TypeError, KeyError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise QuantisedFileError(f"{os.fspath(path)} holds no quantised model: {error}") from error
    if not isinstance(model, QuantisedModel):
        raise QuantisedFileError(f"{os.fspath(path)} holds no quantised model: {type(model)}")
    return model


def _plain(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON-ready form of a part; its arrays go into `arrays`, named by where they are."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple):
        return [_plain(one, f"{name}.{index}", arrays) for index, one in enumerate(value)]
    if isinstance(value, Mapping):
        return {"notes": dict(value)}
    if dataclasses.is_dataclass(value):
        fields = {
            field.name: _plain(
                getattr(value, field.name), f"{name}.{field.name}".strip("."), arrays
            )
            for field in dataclasses.fields(value)
        }
        return {"part": type(value).__name__, "fields": fields}
    return value


def _built(value: Any, members: Mapping[str, np.ndarray]) -> Any:
    """Inverse of `_plain`."""
    if isinstance(value, list):
        return tuple(_built(one, members) for one in value)
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return members[value["array"]]
    if "notes" in value:
        return value["notes"]
    fields = {key: _built(one, members) for key, one in value["fields"].items()}
    return _PARTS[value["part"]](**fields)
