# SPDX-License-Identifier: Apache-2.0
"""Import of a checkpoint directory (config.json, safetensors weights) under canonical names.

Canonical tensors, all float32, matrices ``[out, in]``, d the width:

==========================================  =============================================
``embed_tokens``                            ``[vocabulary, d]``
``embed_positions``                         ``[max_positions + 2, d]``, row = position + 2
``layers.{i}.attention_norm.weight, .bias`` ``[d]``
``layers.{i}.{q,k,v,o}.weight, .bias``      ``[d, d]``, ``[d]``
``layers.{i}.mlp_norm.weight, .bias``       ``[d]``
``layers.{i}.fc1.weight, .bias``            ``[hidden, d]``, ``[hidden]``
``layers.{i}.fc2.weight, .bias``            ``[d, hidden]``, ``[d]``
``final_norm.weight, .bias``                ``[d]``
``head``                                    ``[vocabulary, d]``, only if the head is not tied
==========================================  =============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meadow.compiler.importers.checkpoint_folder import (
    INDEX,
    CheckpointError,
    file_of,
    read_bytes,
    read_json,
    weight_files,
)
from meadow.compiler.importers.opt import canonical_tensors, describe_opt, tensor_sources
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


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An imported model.

    description : sizes and rules.
    tensors : canonical name (see the module's table) -> float32 array.
    tokenizer_json : bytes of the directory's tokenizer.json, None if it has none.
    remarks : what of the directory could not be taken over as it is, in a sentence each.
    """

    description: ModelDescription
    tensors: dict[str, np.ndarray]
    tokenizer_json: bytes | None
    remarks: tuple[str, ...] = ()


def load_checkpoint(directory: str | Path) -> Checkpoint:
    """Read an OPT checkpoint directory.

    The weights are ``model.safetensors`` or the shards named by
    ``model.safetensors.index.json``, in float32, float16 or bfloat16. Only files of the model are
    looked at, see `checkpoint_files`.

    Raises
    ------
    CheckpointError
        Directory, configuration or weights are missing, damaged, or of a model that this
        project does not run.
    """
    directory = Path(directory)
    description, remarks, stored, sources = _opened(directory)
    return Checkpoint(
        description=description,
        tensors=canonical_tensors(stored, description, sources),
        tokenizer_json=read_bytes(directory, _TOKENIZER),
        remarks=remarks,
    )


def read_description(directory: str | Path) -> ModelDescription:
    """Sizes and rules of the model in a checkpoint directory; CheckpointError as `load_checkpoint`.

    Of the weights names and shapes are looked at, so that the sizes are those of a model that is
    there: nobody needs to plan for whatever number stands in a file.
    """
    return _opened(Path(directory))[0]


def _opened(
    directory: Path,
) -> tuple[ModelDescription, tuple[str, ...], StoredTensors, dict[str, str]]:
    """What config.json says, the remarks on it, the weights that fit it, and `tensor_sources`."""
    if not directory.is_dir():
        raise CheckpointError(f"a checkpoint must be a directory; there is none at {directory}")
    config = read_json(directory, _config_file(directory).name)
    assert config is not None
    description, remarks = describe_opt(config, read_json(directory, _GENERATION) or {})
    stored = StoredTensors(*weight_files(directory))
    return description, remarks, stored, tensor_sources(stored, description, config)


def checkpoint_files(directory: Path) -> list[Path]:
    """The files that `load_checkpoint` reads, as far as they are there; CheckpointError as it
    raises.
    """
    config = _config_file(directory)
    weights, index = weight_files(directory)
    names = [_GENERATION, *([INDEX] if index else []), _TOKENIZER]
    found = [file_of(directory, name) for name in names]
    return [config, *(path for path in found if path is not None), *weights]


def _config_file(directory: Path) -> Path:
    path = file_of(directory, _CONFIG)
    if path is not None:
        return path
    snapshots = directory / "snapshots"
    if snapshots.is_dir():
        inner = min((path for path in snapshots.iterdir() if path.is_dir()), default=snapshots)
        where = f"this is a model hub's cache folder: give a snapshot of it, like {inner}"
    else:
        where = f"there is none in {directory}"
    raise CheckpointError(f"a checkpoint must hold {_CONFIG}; {where}")
