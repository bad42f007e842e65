# SPDX-License-Identifier: Apache-2.0
"""What a transformer is to MEADOW: its sizes and rules, and nothing about its weights' values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from meadow.spec.checks import check_choice, check_integer
from meadow.spec.families import FAMILIES, Family
from meadow.spec.rotary_divisors import check_divisors, divisors_of

__all__ = ["ModelDescription"]

_NORM_ORDERS = ("pre", "post")
_OUTPUTS = ("tokens", "hidden")
_NORMS = ("layer", "rms")
_SIZES = (
    "layers",
    "width",
    "heads",
    "kv_heads",
    "head_dim",
    "hidden",
    "vocabulary",
    "max_positions",
)
_COUNTS = ("position_offset", "bos_token", "eos_token")
_ACTIVATIONS = tuple(dict.fromkeys(name for kind in FAMILIES.values() for name in kind.activations))


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """Shape and rules of one transformer.

    Parameters
    ----------
    architecture : name of a family (`meadow.spec.families`): which equations the model follows.
    layers : number of decoder layers.
    width : d, elements of the residual stream.
    heads : query heads.
    kv_heads : key/value heads; ``heads`` is a multiple of it. Only a family with grouped keys may
        have fewer than heads.
    head_dim : elements per head; ``heads * head_dim == width`` but for a family with grouped keys;
        even with rotary positions.
    hidden : elements between the two MLP matrices.
    vocabulary : rows of the token embedding and outputs of the head.
    max_positions : tokens that a sequence may have, prompt and generated together.
    position_offset : row of the position embedding that belongs to position 0.
    norm : ``"layer"`` or ``"rms"``.
    norm_order : ``"pre"`` (before attention and MLP) or ``"post"`` (on the sum after them).
    norm_epsilon : added to the variance (or mean square) under the square root.
    activation : of the MLP, one of the family's (`meadow.golden.activations`).
    gated : the activation multiplies a second projection (``up``) instead of feeding ``fc2``.
    rotary_base : base of the rotary frequencies; 0 for learned positions.
    rotary_divisors : what the frequency of each of the ``head_dim / 2`` pairs is divided by, which
        stretches the positions of a model that was trained on shorter ones; empty for 1.
    causal : a token sees earlier positions only; False sees all tokens of its step.
    outputs : ``"tokens"``: final norm and head (language model, classes); ``"hidden"``: the
        residual rows.
    tied_head : True when the head multiplies by the token embedding.
    bos_token, eos_token : token that opens a sequence and token that ends one.

    Raises
    ------
    ValueError
        A field breaks a rule; the message states the rule and the value.
    """

    architecture: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocabulary: int
    max_positions: int
    position_offset: int
    norm: str
    norm_epsilon: float
    activation: str
    tied_head: bool
    bos_token: int
    eos_token: int
    norm_order: str = "pre"
    gated: bool = False
    rotary_base: float = 0.0
    causal: bool = True
    outputs: str = "tokens"
    rotary_divisors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in _SIZES:
            check_integer(name, getattr(self, name), 1)
        for name in _COUNTS:
            check_integer(name, getattr(self, name), 0)
        check_choice("architecture", self.architecture, tuple(FAMILIES))
        check_choice("norm", self.norm, _NORMS)
        check_choice("activation", self.activation, _ACTIVATIONS)
        check_choice("norm_order", self.norm_order, _NORM_ORDERS)
        check_choice("outputs", self.outputs, _OUTPUTS)
        for name in ("tied_head", "gated", "causal"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if isinstance(self.rotary_base, bool) or not isinstance(self.rotary_base, (int, float)):
            raise ValueError(f"rotary_base must be a number, not {self.rotary_base!r}")
        if not (self.rotary_base == 0 or 1 < self.rotary_base < float("inf")):
            raise ValueError(f"rotary_base must be 0 or above 1, not {self.rotary_base!r}")
        if self.rotary_base and self.head_dim % 2:
            raise ValueError(f"head_dim with rotary positions must be even, not {self.head_dim}")
        check_divisors(self.rotary_divisors, self.head_dim // 2 if self.rotary_base else 0)
        if isinstance(self.norm_epsilon, bool) or not isinstance(self.norm_epsilon, (int, float)):
            raise ValueError(f"norm_epsilon must be a number, not {self.norm_epsilon!r}")
        if not 0 < self.norm_epsilon < 1:
            raise ValueError(f"norm_epsilon must lie between 0 and 1, not {self.norm_epsilon!r}")
        for name in ("bos_token", "eos_token"):
            if getattr(self, name) >= self.vocabulary:
                raise ValueError(
                    f"{name} must be below the vocabulary of {self.vocabulary}, "
                    f"not {getattr(self, name)}"
                )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads, not {self.heads} and {self.kv_heads}"
            )
        self._check_architecture()

    def _check_architecture(self) -> None:
        family = self.family
        for name, values in _fixed(family).items():
            if getattr(self, name) not in values:
                raise ValueError(
                    f"{name} of architecture {self.architecture!r} must be "
                    f"{' or '.join(map(repr, values))}, not {getattr(self, name)!r}"
                )
        if family.rotary and not self.rotary_base:
            raise ValueError(
                f"rotary_base of architecture {self.architecture!r} must be above 1, not 0"
            )
        if family.grouped_keys:
            return
        if self.kv_heads != self.heads:
            raise ValueError(
                f"kv_heads of architecture {self.architecture!r} must equal heads "
                f"({self.heads}), not {self.kv_heads}"
            )
        if self.heads * self.head_dim != self.width:
            raise ValueError(
                f"heads * head_dim of architecture {self.architecture!r} must equal width "
                f"({self.width}), not {self.heads} * {self.head_dim}"
            )

    @classmethod
    def of_family(cls, architecture: str, **sizes: Any) -> ModelDescription:
        """A model of a family: its rules, and what `sizes` names.

        Left out, ``kv_heads`` is ``heads``, ``head_dim`` and ``width`` are those of
        ``heads * head_dim == width``, ``norm_epsilon`` is 1e-5, ``rotary_base`` 10000 where
        positions are rotary, and the head is not tied. ValueError for an unknown family, for
        sizes that are missing, and as the class raises it.
        """
        check_choice("architecture", architecture, tuple(FAMILIES))
        family = FAMILIES[architecture]
        values = {name: choices[0] for name, choices in _fixed(family).items()}
        values |= {"norm_epsilon": 1e-5, "tied_head": False}
        if family.rotary:
            values["rotary_base"] = 10000.0
        for name in ("heads", "width", "head_dim"):
            if name in sizes:
                check_integer(name, sizes[name], 1)
        if "heads" in sizes:
            values["kv_heads"] = sizes["heads"]
            if "width" in sizes:
                values["head_dim"] = sizes["width"] // sizes["heads"]
            if "head_dim" in sizes:
                values["width"] = sizes["heads"] * sizes["head_dim"]
        return cls.from_dict({"architecture": architecture} | values | sizes)

    @property
    def family(self) -> Family:
        """What the model has in common with others of its architecture."""
        return FAMILIES[self.architecture]

    @property
    def group_heads(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.kv_heads

    @property
    def biases(self) -> bool:
        """True if all matrices of the layers have biases and the norms offsets."""
        return self.family.biases

    def has_bias(self, part: str) -> bool:
        """True if the matrix `part` of the layers (``"q"``, ``"fc1"``, ...) has a bias."""
        return self.biases or part in tuple(self.family.biased)

    @property
    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical tensor name -> shape, in the order of the data flow.

        Matrices are ``[out, in]``. This is the only list of a model's tensors; the import of a
        checkpoint and the golden model both check themselves against it.
        """
        attention = self.heads * self.head_dim
        key_value = self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (self.vocabulary, self.width)}
        if not self.rotary_base:
            shapes["embed_positions"] = (self.max_positions + self.position_offset, self.width)
        if self.norm_order == "post":
            shapes |= self._norm_shapes("embedding_norm")
        for index in range(self.layers):
            name = f"layers.{index}."
            projections = {
                "q": (attention, self.width),
                "k": (key_value, self.width),
                "v": (key_value, self.width),
                "o": (self.width, attention),
            }
            up = {"up": (self.hidden, self.width)} if self.gated else {}
            mlp = {"fc1": (self.hidden, self.width)} | up | {"fc2": (self.width, self.hidden)}
            for norm, matrices in (("attention_norm", projections), ("mlp_norm", mlp)):
                before = self.norm_order == "pre"
                if before:
                    shapes |= self._norm_shapes(name + norm)
                for part, shape in matrices.items():
                    shapes[f"{name}{part}.weight"] = shape
                    if self.has_bias(part):
                        shapes[f"{name}{part}.bias"] = shape[:1]
                if not before:
                    shapes |= self._norm_shapes(name + norm)
        if self.outputs == "tokens":
            shapes |= self._norm_shapes("final_norm")
            if not self.tied_head:
                shapes["head"] = (self.vocabulary, self.width)
        return shapes

    def _norm_shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        parts = ("weight", "bias") if self.biases else ("weight",)
        return {f"{name}.{part}": (self.width,) for part in parts}

    @property
    def parameters(self) -> int:
        """Number of parameters; a tied head counts once."""
        return sum(math.prod(shape) for shape in self.tensor_shapes.values())

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON-ready values; `rotary_divisors` only where there are any."""
        values = asdict(self)
        divisors = values.pop("rotary_divisors")
        return values | ({"rotary_divisors": list(divisors)} if divisors else {})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelDescription:
        """Inverse of :meth:`to_dict`; a missing or unknown field is an error."""
        names = {field.name for field in fields(cls)}
        values = {**values, "rotary_divisors": divisors_of(values)}
        unknown = sorted(set(values) - names)
        missing = sorted(names - set(values))
        if unknown:
            raise ValueError(f"a model description has no field {', '.join(unknown)}")
        if missing:
            raise ValueError(f"a model description needs the field {', '.join(missing)}")
        return cls(**values)


def _fixed(family: Family) -> dict[str, tuple[Any, ...]]:
    """The fields that a family fixes, and the values they may have, the usual one first."""
    fixed: dict[str, tuple[Any, ...]] = {
        "norm": (family.norm, "rms") if family.folds_mean else (family.norm,),
        "norm_order": (family.norm_order,),
        "activation": family.activations,
        "gated": (family.gated,),
        "rotary_base": (0.0,),
        "causal": (family.causal,),
        "outputs": (family.outputs,),
        "position_offset": (family.position_offset,),
    }
    if family.rotary:
        del fixed["rotary_base"]
    return fixed
