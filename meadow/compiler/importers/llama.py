# SPDX-License-Identifier: Apache-2.0
"""Llama and Qwen2 in Hugging Face's layout: configuration as a description, tensors under canonical
names.

Both are pre-norm decoders with RMS norm, rotary positions, grouped queries and a gated SiLU; Qwen2
has biases on the projections to Q, K and V. Refused: other biases, sliding windows, rotary
positions on a part of the head, a scaling of them that `rotary_divisors` does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.config_fields import (
    flag_field,
    integer_field,
    number_field,
    require_field,
    special_tokens,
)
from meadow.compiler.importers.family import Described, Family, TensorLayout, stored_names
from meadow.compiler.importers.rotary import rotary_divisors, turned_together
from meadow.spec.model import ModelDescription

__all__ = ["LLAMA", "QWEN2"]

_MODULES = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "fc1": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "fc2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
}
_OUTSIDE = {
    "embed_tokens": "embed_tokens.weight",
    "final_norm.weight": "norm.weight",
    "head": "lm_head.weight",
}
_NORM_EPSILON, _ROTARY_BASE = 1e-6, 10_000.0
_BOS, _EOS = 1, 2
_FULL_ATTENTION = "full_attention"


@dataclass(frozen=True)
class _Describer:
    """`Family.describe` of one architecture; title: as messages say it."""

    architecture: str
    title: str

    def __call__(self, config: Mapping[str, Any], generation: Mapping[str, Any]) -> Described:
        width = integer_field(config, "hidden_size")
        heads = integer_field(config, "num_attention_heads")
        if heads < 1:
            raise CheckpointError(f"num_attention_heads must be at least 1, not {heads}")
        head_dim = _head_dim(config, width, heads)
        _check_options(config)
        tokens = special_tokens(config, generation, bos=_BOS, eos=_EOS)
        base, divisors = _rotary(config, head_dim)
        kv_heads = heads
        if config.get("num_key_value_heads") is not None:
            kv_heads = integer_field(config, "num_key_value_heads")
        try:
            description = ModelDescription.of_family(
                self.architecture,
                layers=integer_field(config, "num_hidden_layers"),
                width=width,
                heads=heads,
                kv_heads=kv_heads,
                head_dim=head_dim,
                hidden=integer_field(config, "intermediate_size"),
                vocabulary=integer_field(config, "vocab_size"),
                max_positions=integer_field(config, "max_position_embeddings"),
                norm_epsilon=number_field(config, "rms_norm_eps", default=_NORM_EPSILON),
                rotary_base=base,
                rotary_divisors=divisors,
                tied_head=flag_field(config, "tie_word_embeddings", default=False),
                bos_token=tokens.bos,
                eos_token=tokens.eos,
            )
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(
                f"config.json describes no {self.title} model: {error}"
            ) from error
        return Described(description=description, end_tokens=tokens.ends, remarks=tokens.remarks)


def _head_dim(config: Mapping[str, Any], width: int, heads: int) -> int:
    if config.get("head_dim") is not None:
        return integer_field(config, "head_dim")
    if width % heads:
        raise CheckpointError(
            f"num_attention_heads must divide hidden_size ({width}) where there is no head_dim, "
            f"not {heads}"
        )
    return width // heads


def _check_options(config: Mapping[str, Any]) -> None:
    """CheckpointError for a variant that is not imported."""
    require_field(config, "hidden_act", "silu")
    for option in ("attention_bias", "mlp_bias", "use_sliding_window"):
        require_field(config, option, False)
    require_field(config, "partial_rotary_factor", 1.0)
    kinds = config.get("layer_types") or []
    others = [kind for kind in kinds if kind != _FULL_ATTENTION] if isinstance(kinds, list) else []
    if others:
        raise CheckpointError(f"layer_types must be {_FULL_ATTENTION!r}, not {others[0]!r:.60}")


def _rotary(config: Mapping[str, Any], head_dim: int) -> tuple[float, tuple[float, ...]]:
    """Base and divisors of the rotary frequencies.

    They stand in `rope_parameters`, or in older files in `rope_theta` and `rope_scaling`.
    """
    scaling: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key) or {}
        if not isinstance(value, dict):
            raise CheckpointError(f"{key} of config.json must be an object, not {value!r:.60}")
        scaling |= value
    require_field(scaling, "partial_rotary_factor", 1.0)
    where = scaling if "rope_theta" in scaling else config
    base = number_field(where, "rope_theta", default=_ROTARY_BASE)
    return base, rotary_divisors(scaling, head_dim, base)


def _family(architecture: str, title: str) -> Family:
    return Family(
        describe=_Describer(architecture, title),
        layout=TensorLayout(
            title=f"a {title}",
            stored_name=stored_names(_OUTSIDE, _MODULES, layers="layers"),
            arrange=turned_together,
            unused=frozenset({"inv_freq"}),  # of the rotary positions, in early files
        ),
    )


LLAMA = _family("llama", "Llama")
"""Llama in Hugging Face's layout."""

QWEN2 = _family("qwen2", "Qwen2")
"""Qwen2 in Hugging Face's layout."""
