# SPDX-License-Identifier: Apache-2.0
"""OPT in Hugging Face's layout: its configuration as a description, its tensors under canonical
names.

Variants: ``enable_bias: false`` becomes zero biases and ``layer_norm_elementwise_affine: false``
becomes norm weights of one; post-norm models, projected embeddings, other activations and a removed
final norm are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.config_fields import (
    flag_field,
    integer_field,
    require_field,
    special_tokens,
)
from meadow.compiler.importers.family import Described, Family, TensorLayout
from meadow.spec.model import ModelDescription

__all__ = ["OPT", "describe_opt"]

_MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.out_proj",
    "attention_norm": "self_attn_layer_norm",
    "mlp_norm": "final_layer_norm",
}
_NORM_EPSILON = 1e-5  # OPT's configuration has no field for it
_SPECIAL_TOKEN = 2  # </s>, which opens and ends OPT's sequences


def describe_opt(config: Mapping[str, Any], generation: Mapping[str, Any]) -> Described:
    """What an OPT config.json says; `generation` is generation_config.json.

    Keys that may be left out have OPT's defaults; special tokens: see `special_tokens`.
    """
    size = {
        key: integer_field(config, key)
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
    require_field(config, "do_layer_norm_before", True)
    require_field(config, "_remove_final_layer_norm", False)
    require_field(config, "activation_function", "relu")
    projected = config.get("word_embed_proj_dim")
    if projected is not None and projected != width:
        raise CheckpointError(
            f"word_embed_proj_dim must equal hidden_size ({width}), not {projected!r}"
        )
    if heads < 1 or width % heads:
        raise CheckpointError(f"num_attention_heads must divide hidden_size ({width}), not {heads}")
    tokens = special_tokens(config, generation, bos=_SPECIAL_TOKEN, eos=_SPECIAL_TOKEN)
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
            tied_head=flag_field(config, "tie_word_embeddings", default=True),
            bos_token=tokens.bos,
            eos_token=tokens.eos,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"config.json describes no OPT model: {error}") from error
    return Described(description=description, end_tokens=tokens.ends, remarks=tokens.remarks)


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


def _is_stored(config: Mapping[str, Any], name: str) -> bool:
    if "norm." in name:
        return flag_field(config, "layer_norm_elementwise_affine", default=True)
    return not name.endswith(".bias") or flag_field(config, "enable_bias", default=True)


OPT = Family(
    describe=describe_opt,
    layout=TensorLayout(
        title="an OPT",
        stored_name=_stored_name,
        is_stored=_is_stored,
        unused=frozenset({"version"}),  # a marker in early files
    ),
)
"""OPT in Hugging Face's layout."""
