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

OPT variants: ``enable_bias: false`` becomes zero biases and ``layer_norm_elementwise_affine:
false`` becomes norm weights of one; post-norm models, projected embeddings, other activations
and a removed final norm are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meadow.spec.model import ModelDescription

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint"]

_HEADER_LENGTH_BYTES = 8
_ELEMENT_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_MAX_DIMENSIONS = 8
_PREFIXES = ("model.decoder.", "decoder.", "")
_MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "mlp_norm": "final_layer_norm",
}
_NORM_EPSILON = 1e-5  # OPT's configuration has no field for it


class CheckpointError(ValueError):
    """A checkpoint cannot be imported; the message states the rule and the value found."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An imported model.

    description : sizes and rules.
    tensors : canonical name (see the module's table) -> float32 array.
    tokenizer_json : bytes of the directory's tokenizer.json, None if it has none.
    """

    description: ModelDescription
    tensors: dict[str, np.ndarray]
    tokenizer_json: bytes | None


def load_checkpoint(directory: str | Path) -> Checkpoint:
    """Read an OPT checkpoint directory.

    The weights are ``model.safetensors`` or the shards named by
    ``model.safetensors.index.json``, in float32, float16 or bfloat16.

    Raises
    ------
    CheckpointError
        Directory, configuration or weights are missing, damaged, or of a model that this
        project does not run.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise CheckpointError(f"a checkpoint must be a directory; there is none at {directory}")
    config = _read_json(directory / "config.json")
    description = _describe_opt(config)
    stored: dict[str, np.ndarray] = {}
    for path in _weight_files(directory):
        for name, array in _read_safetensors(path):
            if _without_prefix(name) in stored:
                raise CheckpointError(
                    f"the weights must hold {_without_prefix(name)} once, not twice"
                )
            stored[_without_prefix(name)] = array
    if description.layers > len(stored):
        # Before a table of that many layers is made.
        raise CheckpointError(
            f"the weights must hold tensors of {description.layers} layers, "
            f"not {len(stored)} tensors in all"
        )
    tensors = _canonical(stored, description, config)
    tokenizer = directory / "tokenizer.json"
    return Checkpoint(
        description=description,
        tensors=tensors,
        tokenizer_json=tokenizer.read_bytes() if tokenizer.exists() else None,
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"a checkpoint must hold {path.name}; there is none in {path.parent}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} must be valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} must hold a JSON object, not {content!r:.40}")
    return content


def _describe_opt(config: dict[str, Any]) -> ModelDescription:
    """ModelDescription of an OPT config.json; keys that may be left out have OPT's defaults."""
    if config.get("model_type") != "opt":
        raise CheckpointError(f"model_type must be 'opt', not {config.get('model_type')!r}")
    size = {
        key: _integer(config, key)
        for key in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "ffn_dim",
            "max_position_embeddings",
        )
    }
    width, heads = size["hidden_size"], size["num_attention_heads"]
    _require(config, "do_layer_norm_before", True)
    _require(config, "_remove_final_layer_norm", False)
    _require(config, "activation_function", "relu")
    projected = config.get("word_embed_proj_dim")
    if projected is not None and projected != width:
        raise CheckpointError(
            f"word_embed_proj_dim must equal hidden_size ({width}), not {projected!r}"
        )
    if heads < 1 or width % heads:
        raise CheckpointError(f"num_attention_heads must divide hidden_size ({width}), not {heads}")
    try:
        return ModelDescription(
            architecture="opt",
            layers=size["num_hidden_layers"],
            width=width,
            heads=heads,
            kv_heads=heads,
            head_dim=width // heads,
            hidden=size["ffn_dim"],
            vocabulary=size["vocab_size"],
            max_positions=size["max_position_embeddings"],
            position_offset=2,
            norm="layer",
            norm_epsilon=_NORM_EPSILON,
            activation="relu",
            tied_head=_flag(config, "tie_word_embeddings", default=True),
            bos_token=_integer(config, "bos_token_id", default=2),
            eos_token=_integer(config, "eos_token_id", default=2),
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"config.json describes no OPT model: {error}") from error


def _integer(config: dict[str, Any], key: str, *, default: int | None = None) -> int:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{key} of config.json must be an integer, not {value!r}")
    return value


def _flag(config: dict[str, Any], key: str, *, default: bool) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{key} of config.json must be true or false, not {value!r}")
    return value


def _require(config: dict[str, Any], key: str, required: bool | str) -> None:
    """An OPT option that has only one supported value, which is also OPT's default."""
    value = config.get(key, required)
    if value != required:
        raise CheckpointError(f"{key} must be {required!r}, not {value!r}")


def _weight_files(directory: Path) -> list[Path]:
    single = directory / "model.safetensors"
    if single.is_file():
        return [single]
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        raise CheckpointError(
            f"a checkpoint must hold {single.name} or {index.name}; there is neither in {directory}"
        )
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index.name} must hold a weight_map, not {weight_map!r:.40}")
    shards = sorted({str(name) for name in weight_map.values()})
    for name in shards:
        # A shard is a neighbour of its index: a path in its name would read outside the directory.
        if Path(name).name != name or not (directory / name).is_file():
            raise CheckpointError(
                f"{index.name} must name files of its own directory; there is no {name!r}"
            )
    return [directory / name for name in shards]


def _read_safetensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All tensors of a safetensors file as float32.

    Layout: little-endian u64 header length, JSON header, data. The file is mapped, so only one
    tensor at a time is held twice.
    """
    size_bytes = path.stat().st_size
    if size_bytes < _HEADER_LENGTH_BYTES:
        raise CheckpointError(f"{path.name} is truncated: {size_bytes} bytes, not even a header")
    raw = np.memmap(path, np.uint8, mode="r")
    data_start = _HEADER_LENGTH_BYTES + int.from_bytes(
        raw[:_HEADER_LENGTH_BYTES].tobytes(), "little"
    )
    if data_start > size_bytes:
        raise CheckpointError(
            f"{path.name} is truncated or corrupt: its header ends at byte {data_start} "
            f"of {size_bytes}"
        )
    try:
        header = json.loads(raw[_HEADER_LENGTH_BYTES:data_start].tobytes())
        entries = {
            name: (str(entry["dtype"]), _sizes(entry["shape"]), *_sizes(entry["data_offsets"], 2))
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is corrupt: its header is unreadable") from error
    data = raw[data_start:]
    for name, (dtype, shape, start, end) in entries.items():
        if dtype not in _ELEMENT_BYTES:
            raise CheckpointError(f"{name} must be of {', '.join(_ELEMENT_BYTES)}, not {dtype}")
        if end > len(data):
            raise CheckpointError(
                f"{path.name} is truncated: {name} ends at data byte {end} of {len(data)}"
            )
        content = data[start:end].tobytes()
        expected_bytes = math.prod(shape) * _ELEMENT_BYTES[dtype]
        if len(content) != expected_bytes:
            raise CheckpointError(
                f"{path.name} is corrupt: {name} of shape {list(shape)} needs {expected_bytes} "
                f"bytes, not {len(content)}"
            )
        if len(shape) > _MAX_DIMENSIONS:
            raise CheckpointError(
                f"{path.name} is corrupt: {name} has {len(shape)} dimensions, "
                f"more than {_MAX_DIMENSIONS}"
            )
        yield name, _to_float32(content, dtype).reshape(shape)
    covered = 0
    for start, end in sorted((start, end) for _, _, start, end in entries.values()):
        if start != covered:
            raise CheckpointError(
                f"{path.name} is corrupt: tensors must follow each other without gap or overlap, "
                f"not so at data byte {min(start, covered)}"
            )
        covered = end
    if covered != len(data):
        raise CheckpointError(
            f"{path.name} is corrupt: its tensors end at data byte {covered} of {len(data)}"
        )


def _sizes(values: list[int], count: int | None = None) -> tuple[int, ...]:
    if not all(type(value) is int and value >= 0 for value in values):
        raise ValueError(f"sizes must be whole numbers, not {values}")
    if count is not None and len(values) != count:
        raise ValueError(f"there must be {count} sizes, not {values}")
    return tuple(values)


def _to_float32(content: bytes, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, "<f4" if dtype == "F32" else "<f2").astype(np.float32)


def _without_prefix(name: str) -> str:
    prefix = next(prefix for prefix in _PREFIXES if name.startswith(prefix))
    return name.removeprefix(prefix)


def _stored_name(name: str) -> str:
    """OPT's name, without prefix, of a canonical tensor."""
    if name.startswith("embed_"):
        return f"{name}.weight"
    if name == "head":
        return "lm_head.weight"
    if name.startswith("final_norm."):
        return name.replace("final_norm", "final_layer_norm")
    layers, index, module, kind = name.split(".")
    return f"{layers}.{index}.{_MODULES.get(module, module)}.{kind}"


def _canonical(
    stored: dict[str, np.ndarray], description: ModelDescription, config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The description's tensors out of the stored ones; each is taken out of ``stored``."""
    has_bias = _flag(config, "enable_bias", default=True)
    has_affine = _flag(config, "layer_norm_elementwise_affine", default=True)
    tensors: dict[str, np.ndarray] = {}
    for name, shape in description.tensor_shapes.items():
        source = _stored_name(name)
        is_norm = "norm." in name
        if (is_norm and not has_affine) or (
            not is_norm and name.endswith(".bias") and not has_bias
        ):
            fill = 1.0 if name.endswith(".weight") else 0.0
            tensors[name] = np.full(shape, fill, np.float32)
            continue
        if source not in stored:
            raise CheckpointError(f"the weights must hold {source} of shape {list(shape)}")
        array = stored.pop(source)
        if array.shape != shape:
            raise CheckpointError(
                f"{source} must have the shape {list(shape)}, not {list(array.shape)}"
            )
        if not np.isfinite(array).all():
            bad = array.reshape(-1)[int(np.argmin(np.isfinite(array)))]
            raise CheckpointError(f"{source} must hold finite values only, not {bad}")
        tensors[name] = array
    stored.pop("version", None)  # a marker without use in early OPT files
    duplicate = stored.pop("lm_head.weight", None) if description.tied_head else None
    if duplicate is not None and not np.array_equal(duplicate, tensors["embed_tokens"]):
        raise CheckpointError(
            "lm_head.weight must equal embed_tokens.weight where tie_word_embeddings is true; "
            "it differs"
        )
    if stored:
        raise CheckpointError(f"an OPT model has no tensor {min(stored):.80}")
    return tensors
