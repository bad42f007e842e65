# SPDX-License-Identifier: Apache-2.0
"""OPT in Hugging Face's layout: its configuration as a description, its tensors under canonical
names.

Variants: ``enable_bias: false`` becomes zero biases and ``layer_norm_elementwise_affine: false``
becomes norm weights of one; post-norm models, projected embeddings, other activations and a removed
final norm are refused. A tied head is stored as ``embed_tokens.weight``, as ``lm_head.weight``, or
as both if they are equal but for rounding, of which the finer one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.stored_tensors import StoredTensors
from meadow.spec.model import ModelDescription

__all__ = ["canonical_tensors", "describe_opt", "tensor_sources"]

_MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "mlp_norm": "final_layer_norm",
}
_EMBEDDING, _HEAD = "embed_tokens.weight", "lm_head.weight"
_MARKER = "version"  # without use, in early OPT files
_NORM_EPSILON = 1e-5  # OPT's configuration has no field for it
_SPECIAL_TOKEN = 2  # </s>, which opens and ends OPT's sequences


def describe_opt(
    config: Mapping[str, Any], generation: Mapping[str, Any]
) -> tuple[ModelDescription, tuple[str, ...]]:
    """ModelDescription of an OPT config.json, and remarks on what it could not take over.

    Keys that may be left out have OPT's defaults. `generation` is generation_config.json, whose
    opening and end token count before those of config.json, as they do when transformers generates.
    A list counts by its first token; null or no token in either file is the other special token,
    and OPT's 2 if there is none at all.
    """
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
    bos, eos, remarks = _special_tokens(config, generation)
    try:
        description = ModelDescription.of_family(
            "opt",
            layers=size["num_hidden_layers"],
            width=width,
            heads=heads,
            hidden=size["ffn_dim"],
            vocabulary=size["vocab_size"],
            max_positions=size["max_position_embeddings"],
            norm_epsilon=_NORM_EPSILON,
            tied_head=_flag(config, "tie_word_embeddings", default=True),
            bos_token=bos,
            eos_token=eos,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"config.json describes no OPT model: {error}") from error
    return description, remarks


def tensor_sources(
    stored: StoredTensors, description: ModelDescription, config: Mapping[str, Any]
) -> dict[str, str]:
    """Canonical name -> stored name of all tensors but those that the configuration leaves out.

    CheckpointError if one is not there or has another shape, or if the weights hold anything else.
    Values are not read, but for those of a tied head that is stored twice.
    """
    has_bias = _flag(config, "enable_bias", default=True)
    has_affine = _flag(config, "layer_norm_elementwise_affine", default=True)
    if description.layers > len(stored):
        # Before a table of that many layers is made.
        raise CheckpointError(
            f"the weights must hold tensors of {description.layers} layers, "
            f"not {len(stored)} tensors in all"
        )
    sources = {}
    for name in description.tensor_shapes:
        is_norm = "norm." in name
        no_bias = not has_bias and not is_norm and name.endswith(".bias")
        if not no_bias and (has_affine or not is_norm):
            sources[name] = _stored_name(name)
    if description.tied_head and _HEAD in stored:
        finer = _HEAD if _EMBEDDING not in stored else stored.finer(_EMBEDDING, _HEAD)
        if finer is None:
            raise CheckpointError(
                f"{_HEAD} must equal {_EMBEDDING} where tie_word_embeddings is true; it differs"
            )
        sources["embed_tokens"] = finer
    _check_names(stored, description, sources)
    return sources


def canonical_tensors(
    stored: StoredTensors, description: ModelDescription, sources: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """The description's tensors, float32, each read once; sources: of `tensor_sources`."""
    tensors: dict[str, np.ndarray] = {}
    for name, shape in description.tensor_shapes.items():
        if name not in sources:
            fill = 1.0 if name.endswith(".weight") else 0.0
            tensors[name] = np.full(shape, fill, np.float32)
            continue
        array = stored.read(sources[name])
        finite = np.isfinite(array)
        if not finite.all():
            bad = array.reshape(-1)[int(np.argmin(finite))]
            raise CheckpointError(f"{sources[name]} must hold finite values only, not {bad}")
        tensors[name] = array
    return tensors


def _check_names(
    stored: StoredTensors, description: ModelDescription, sources: Mapping[str, str]
) -> None:
    """All sources are there in the right shape, and nothing else is."""
    for name, source in sources.items():
        shape = description.tensor_shapes[name]
        if source not in stored:
            either = f" (or {_HEAD})" if name == "embed_tokens" and description.tied_head else ""
            raise CheckpointError(f"the weights must hold {source}{either} of shape {list(shape)}")
        if stored.shape(source) != shape:
            raise CheckpointError(
                f"{source} must have the shape {list(shape)}, not {list(stored.shape(source))}"
            )
    known = {*sources.values(), _MARKER, *((_EMBEDDING, _HEAD) if description.tied_head else ())}
    unknown = [name for name in stored if name not in known and name.split(".")[-1] != _MARKER]
    if unknown:
        name = min(unknown)
        full = stored.stored_name(name)
        where = "" if full == name else f" (stored as {full:.80})"
        raise CheckpointError(f"an OPT model has no tensor {name:.80}{where}")


def _stored_name(name: str) -> str:
    """OPT's name, without prefix, of a canonical tensor."""
    if name.startswith("embed_"):
        return f"{name}.weight"
    if name == "head":
        return _HEAD
    if name.startswith("final_norm."):
        return name.replace("final_norm", "final_layer_norm")
    layers, index, module, kind = name.split(".")
    return f"{layers}.{index}.{_MODULES.get(module, module)}.{kind}"


def _special_tokens(
    config: Mapping[str, Any], generation: Mapping[str, Any]
) -> tuple[int, int, tuple[str, ...]]:
    """Opening and end token, and remarks; see `describe_opt`."""
    remarks: list[str] = []
    found: dict[str, int | None] = {}
    for key in ("bos_token_id", "eos_token_id"):
        choices = [
            (file, _first_token(values[key], key, file, remarks))
            for file, values in (("generation_config.json", generation), ("config.json", config))
            if values.get(key) is not None
        ]
        if len({token for _, token in choices}) > 1:
            remarks.append(
                f"{key} is {choices[0][1]} by {choices[0][0]}, not {choices[1][1]} by "
                f"{choices[1][0]}"
            )
        given = key in config or key in generation
        found[key] = choices[0][1] if choices else None if given else _SPECIAL_TOKEN
    bos, eos = found["bos_token_id"], found["eos_token_id"]
    for key, token, other in (("bos_token_id", bos, eos), ("eos_token_id", eos, bos)):
        if token is None:
            chosen = _SPECIAL_TOKEN if other is None else other
            remarks.append(f"{key} is null: token {chosen} is taken for it")
    default = next((token for token in (bos, eos) if token is not None), _SPECIAL_TOKEN)
    return default if bos is None else bos, default if eos is None else eos, tuple(remarks)


def _first_token(value: Any, key: str, file: str, remarks: list[str]) -> int:
    if not isinstance(value, list):
        return _integer({key: value}, key, file=file)
    if not value:
        raise CheckpointError(f"{key} of {file} must be an integer or a list of them, not []")
    tokens = [_integer({key: token}, key, file=file) for token in value]
    if len(set(tokens)) > 1:
        remarks.append(f"{key} is the first of {tokens}: the others have no effect")
    return tokens[0]


def _integer(config: Mapping[str, Any], key: str, *, file: str = "config.json") -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{key} of {file} must be an integer, not {value!r}")
    return value


def _flag(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{key} of config.json must be true or false, not {value!r}")
    return value


def _require(config: Mapping[str, Any], key: str, required: bool | str) -> None:
    """An OPT option that has only one supported value, which is also OPT's default."""
    value = config.get(key, required)
    if value != required:
        raise CheckpointError(f"{key} must be {required!r}, not {value!r}")
