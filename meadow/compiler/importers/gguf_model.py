# SPDX-License-Identifier: Apache-2.0
"""Llama and Qwen2 in GGUF files: metadata as a description, tensors under canonical names.

llama.cpp permutes the rows of q and k of Llama so that the channels of a rotary pair are
neighbours, which is our order too; those of Qwen2 stay as they are in Hugging Face's layout. A
scaling of the rotary frequencies of the kind "llama3" is a tensor of divisors, `rope_freqs.weight`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.config_fields import finite_number
from meadow.compiler.importers.family import Described, TensorLayout, as_stored, stored_names
from meadow.compiler.importers.gguf_file import GgufFile
from meadow.compiler.importers.rotary import rotary_divisors, turned_together
from meadow.spec.model import ModelDescription

__all__ = ["describe_gguf", "gguf_layout"]

_TITLES = {"llama": "Llama", "qwen2": "Qwen2"}
_EMBEDDING, _DIVISORS = "token_embd.weight", "rope_freqs.weight"
_OUTSIDE = {
    "embed_tokens": _EMBEDDING,
    "final_norm.weight": "output_norm.weight",
    "head": "output.weight",
}
_MODULES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "fc1": "ffn_gate",
    "up": "ffn_up",
    "fc2": "ffn_down",
    "attention_norm": "attn_norm",
    "mlp_norm": "ffn_norm",
}
_ROTARY_BASE = 10_000.0
_EPSILON = "attention.layer_norm_rms_epsilon"
_ENDS = ("eos", "eot", "eom")
# Keys of variants that are not imported, each with the values that make it none.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "attention.sliding_window": (0,),
    "attention.causal": (True,),
    "rope.scaling.attn_factor": (0.0, 1.0),
}


def describe_gguf(file: GgufFile) -> Described:
    """What the metadata say; CheckpointError for a model that is not imported.

    Vocabulary and kind of head are those of the tensors.
    """
    fields = _Fields(file)
    heads, width = fields.integer("attention.head_count"), fields.integer("embedding_length")
    for key, allowed in _PLAIN.items():
        value = fields.value(key)
        if value is not None and value not in allowed:
            raise CheckpointError(f"{fields.key(key)} must be {allowed[0]!r}, not {value!r:.60}")
    head_dim = fields.head_dim(width, heads)
    base = fields.number("rope.freq_base", default=_ROTARY_BASE)
    if _EMBEDDING not in file:
        raise CheckpointError(f"the weights must hold {_EMBEDDING}")
    vocabulary = file.shape(_EMBEDDING)[0]
    bos, ends = _special_tokens(file)
    try:
        description = ModelDescription.of_family(
            fields.architecture,
            layers=fields.integer("block_count"),
            width=width,
            heads=heads,
            kv_heads=fields.integer("attention.head_count_kv", default=heads),
            head_dim=head_dim,
            hidden=fields.integer("feed_forward_length"),
            vocabulary=vocabulary,
            max_positions=fields.integer("context_length"),
            norm_epsilon=fields.epsilon(),
            rotary_base=base,
            rotary_divisors=_divisors(file, fields, head_dim, base),
            tied_head=_OUTSIDE["head"] not in file,
            bos_token=bos,
            eos_token=ends[0],
        )
    except CheckpointError:
        raise
    except ValueError as error:
        title = _TITLES[fields.architecture]
        raise CheckpointError(f"{file.path.name} describes no {title} model: {error}") from error
    return Described(description=description, end_tokens=ends)


def gguf_layout(architecture: str) -> TensorLayout:
    """Tensors of an architecture that `describe_gguf` knows."""
    return TensorLayout(
        title=f"a {_TITLES[architecture]}",
        stored_name=stored_names(_OUTSIDE, _MODULES, layers="blk"),
        arrange=as_stored if architecture == "llama" else turned_together,
        unused=frozenset({_DIVISORS}),
    )


class _Fields:
    """Metadata under the architecture's name, each read with its rule."""

    def __init__(self, file: GgufFile) -> None:
        if not isinstance(file.architecture, str) or file.architecture not in _TITLES:
            raise CheckpointError(
                f"general.architecture of {file.path.name} must be one of {', '.join(_TITLES)}, "
                f"not {file.architecture!r:.60}"
            )
        self.architecture = file.architecture
        self._file = file

    def key(self, name: str) -> str:
        """The whole key."""
        return f"{self.architecture}.{name}"

    def value(self, name: str) -> Any:
        """Whatever stands there; None if nothing does."""
        return self._file.value(self.key(name))

    def _place(self, name: str) -> str:
        return f"{self.key(name)} of {self._file.path.name}"

    def integer(self, name: str, *, default: int | None = None) -> int:
        """An integer; a list with one for each layer counts if all are equal."""
        value = self.value(name)
        if value is None and default is not None:
            return default
        if isinstance(value, list) and value and value.count(value[0]) == len(value):
            value = value[0]
        if isinstance(value, bool) or not isinstance(value, int):
            raise CheckpointError(f"{self._place(name)} must be an integer, not {value!r:.60}")
        return value

    def number(self, name: str, *, default: float | None = None) -> float:
        """A finite number."""
        value = self.value(name)
        value = default if value is None else value
        number = finite_number(value)
        if number is None:
            raise CheckpointError(f"{self._place(name)} must be a number, not {value!r:.60}")
        return number

    def epsilon(self) -> float:
        """That of the norms, to the digits that float32 holds: 1e-5, not 9.999999747378752e-06."""
        return float(np.format_float_positional(np.float32(self.number(_EPSILON)), unique=True))

    def head_dim(self, width: int, heads: int) -> int:
        """Elements per head, all of which must be turned by the rotary positions."""
        count = self.key("attention.head_count")
        if heads < 1:
            raise CheckpointError(f"{count} must be at least 1, not {heads}")
        length = self.integer("attention.key_length", default=0)
        if not length and width % heads:
            raise CheckpointError(
                f"{count} must divide the embedding length ({width}) "
                f"where there is no key length, not {heads}"
            )
        head_dim = length or width // heads
        for name in ("attention.value_length", "rope.dimension_count"):
            found = self.integer(name, default=head_dim)
            if found != head_dim:
                raise CheckpointError(f"{self.key(name)} must be {head_dim}, not {found}")
        return head_dim


def _divisors(file: GgufFile, fields: _Fields, head_dim: int, base: float) -> tuple[float, ...]:
    kind = fields.value("rope.scaling.type")
    factor = fields.value("rope.scaling.factor")
    if factor is None:
        factor = fields.value("rope.scale_linear")  # as older files have it
    if kind is None:
        kind = "linear"  # as llama.cpp takes it
    # A factor of 0 is how files say that there is none.
    scaled = kind != "none" and not (kind == "linear" and factor in (None, 0))
    scaling = {"type": kind if scaled else "default", "factor": factor}
    divisors = rotary_divisors(scaling, head_dim, base)
    if _DIVISORS not in file:
        return divisors
    if divisors:
        raise CheckpointError(f"{file.path.name} must not hold {_DIVISORS} beside a scaling factor")
    return tuple(float(value) for value in file.read(_DIVISORS).reshape(-1))


def _special_tokens(file: GgufFile) -> tuple[int, tuple[int, ...]]:
    """Opening token, and end tokens; where one kind is lacking, the other stands for it."""
    found: dict[str, int] = {}
    for kind in ("bos", *_ENDS):
        token = file.value(f"tokenizer.ggml.{kind}_token_id")
        if token is None:
            continue
        if isinstance(token, bool) or not isinstance(token, int):
            raise CheckpointError(
                f"tokenizer.ggml.{kind}_token_id must be an integer, not {token!r:.60}"
            )
        found[kind] = token
    if not found:
        raise CheckpointError(f"{file.path.name} must have tokenizer.ggml.eos_token_id")
    ends = tuple(dict.fromkeys(found[kind] for kind in _ENDS if kind in found))
    return (found["bos"] if "bos" in found else ends[0]), ends or (found["bos"],)
