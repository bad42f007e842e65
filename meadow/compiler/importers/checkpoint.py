# SPDX-License-Identifier: Apache-2.0
"""Import of a checkpoint under canonical names: a directory (config.json, safetensors weights) or a
GGUF file.

Canonical tensors, all float32, matrices ``[out, in]``. Letters: d width, e elements per head, h
query heads, k key/value heads. Which of them a model has, `ModelDescription.tensor_shapes` says:

==========================================  =============================================
``embed_tokens``                            ``[vocabulary, d]``
``embed_positions``                         ``[max_positions + 2, d]``, row = position + 2
``layers.{i}.attention_norm.weight, .bias`` ``[d]``
``layers.{i}.q.weight, .bias``              ``[h * e, d]``, ``[h * e]``
``layers.{i}.{k,v}.weight, .bias``          ``[k * e, d]``, ``[k * e]``
``layers.{i}.o.weight, .bias``              ``[d, h * e]``, ``[d]``
``layers.{i}.mlp_norm.weight, .bias``       ``[d]``
``layers.{i}.{fc1,up}.weight, .bias``       ``[hidden, d]``, ``[hidden]``; up: gated only
``layers.{i}.fc2.weight, .bias``            ``[d, hidden]``, ``[d]``
``final_norm.weight, .bias``                ``[d]``
``head``                                    ``[vocabulary, d]``, only if the head is not tied
==========================================  =============================================

With rotary positions the rows 2i and 2i + 1 of a head of q and k are a pair that is turned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint_folder import (
    INDEX,
    CheckpointError,
    file_of,
    read_bytes,
    read_json,
    weight_files,
)
from meadow.compiler.importers.family import Described, Family, TensorLayout
from meadow.compiler.importers.gguf_file import is_gguf, open_gguf
from meadow.compiler.importers.gguf_model import describe_gguf, gguf_layout
from meadow.compiler.importers.llama import LLAMA, QWEN2
from meadow.compiler.importers.model_tensors import ModelTensors, Stored, tensor_sources
from meadow.compiler.importers.opt import OPT
from meadow.compiler.importers.stored_tensors import StoredTensors
from meadow.spec.model import ModelDescription

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "checkpoint_files",
    "load_checkpoint",
    "read_description",
]

_CONFIG, _GENERATION = "config.json", "generation_config.json"
_TOKENIZER = "tokenizer.json"

_FAMILIES = {"llama": LLAMA, "opt": OPT, "qwen2": QWEN2}
"""By `model_type` of config.json."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An imported model.

    description : sizes and rules.
    tensors : canonical name (see the module's table) -> float32 array, read from the files when it
        is asked for.
    tokenizer_json : bytes of the directory's tokenizer.json, None if it has none.
    remarks : what of the directory could not be taken over as it is, in a sentence each.
    end_tokens : all tokens that end a sequence, the description's `eos_token` first.
    """

    description: ModelDescription
    tensors: Mapping[str, np.ndarray]
    tokenizer_json: bytes | None
    remarks: tuple[str, ...] = ()
    end_tokens: tuple[int, ...] = ()


def load_checkpoint(source: str | Path) -> Checkpoint:
    """Read a checkpoint of a family in the table: a directory, or a GGUF file.

    The weights of a directory are ``model.safetensors`` or the shards named by
    ``model.safetensors.index.json``, in float32, float16 or bfloat16. Only files of the model are
    looked at, see `checkpoint_files`. All values are read once, to see that they are finite.

    Raises
    ------
    CheckpointError
        Directory, configuration or weights are missing, damaged, or of a model that this
        project does not run.
    """
    source = Path(source)
    opened = _open(source)
    described = opened.described
    return Checkpoint(
        description=described.description,
        tensors=ModelTensors(opened.stored, opened.layout, described.description, opened.sources),
        tokenizer_json=read_bytes(source, _TOKENIZER) if source.is_dir() else None,
        remarks=described.remarks,
        end_tokens=described.end_tokens,
    )


def read_description(source: str | Path) -> ModelDescription:
    """Sizes and rules of the model in a checkpoint; CheckpointError as `load_checkpoint`.

    Of the weights names and shapes are looked at, so that the sizes are those of a model that is
    there: nobody needs to plan for whatever number stands in a file.
    """
    return _open(Path(source)).described.description


def checkpoint_files(source: Path) -> list[Path]:
    """The files that `load_checkpoint` reads, as far as they are there; CheckpointError as it
    raises.
    """
    if is_gguf(source):
        return [source]
    config = _config_file(source)
    weights, index = weight_files(source)
    names = [_GENERATION, *([INDEX] if index else []), _TOKENIZER]
    found = [file_of(source, name) for name in names]
    return [config, *(path for path in found if path is not None), *weights]


@dataclass(frozen=True)
class _Opened:
    """A checkpoint whose weights fit its configuration; sources: of `tensor_sources`."""

    described: Described
    layout: TensorLayout
    stored: Stored
    sources: dict[str, str]


def _open(source: Path) -> _Opened:
    if is_gguf(source):
        file = open_gguf(source)
        described = describe_gguf(file)
        layout = gguf_layout(described.description.architecture)
        sources = tensor_sources(file, layout, described.description, {})
        return _Opened(described, layout, file, sources)
    if not source.is_dir():
        raise CheckpointError(
            f"a checkpoint must be a directory or a GGUF file; there is none at {source}"
        )
    config = read_json(source, _config_file(source).name)
    assert config is not None
    family = _family(config)
    described = family.describe(config, read_json(source, _GENERATION) or {})
    stored = StoredTensors(*weight_files(source))
    sources = tensor_sources(stored, family.layout, described.description, config)
    return _Opened(described, family.layout, stored, sources)


def _family(config: Mapping[str, Any]) -> Family:
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in _FAMILIES:
        raise CheckpointError(f"model_type must be one of {', '.join(_FAMILIES)}, not {kind!r:.60}")
    return _FAMILIES[kind]


def _config_file(directory: Path) -> Path:
    path = file_of(directory, _CONFIG)
    if path is not None:
        return path
    snapshots = directory / "snapshots"
    if snapshots.is_dir():
        inner = min((path for path in snapshots.iterdir() if path.is_dir()), default=snapshots)
        where = f"this is a model hub's cache folder: give a snapshot of it, like {inner}"
    else:
        found = min((entry.name for entry in directory.glob("*.gguf")), default=None)
        alone = f", but {found}, which is a checkpoint by itself: give {directory / str(found)}"
        where = f"there is none in {directory}" + (alone if found is not None else "")
    raise CheckpointError(f"a checkpoint must hold {_CONFIG}; {where}")
