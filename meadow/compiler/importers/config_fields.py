# SPDX-License-Identifier: Apache-2.0
"""Fields of config.json and generation_config.json, each read with its rule; CheckpointError states
the rule, the field and its value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meadow.compiler.importers.checkpoint_folder import CheckpointError

__all__ = [
    "SpecialTokens",
    "finite_number",
    "flag_field",
    "integer_field",
    "number_field",
    "require_field",
    "special_tokens",
]

_CONFIG, _GENERATION = "config.json", "generation_config.json"
_INTEGER_BITS = 63
"""A number of JSON may have any length: one that has more is no size of anything."""


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """bos, eos : token that opens a sequence and token that ends one.

    ends : all tokens that end one, `eos` first.
    remarks : what could not be taken over as it is, in a sentence each.
    """

    bos: int
    eos: int
    ends: tuple[int, ...]
    remarks: tuple[str, ...]


def integer_field(config: Mapping[str, Any], key: str, *, file: str = _CONFIG) -> int:
    """An integer, which must be there."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise CheckpointError(f"{key} of {file} must be an integer, not {value!r:.60}")
    if value.bit_length() > _INTEGER_BITS:
        raise CheckpointError(f"{key} of {file} must be below 2^{_INTEGER_BITS}, not {value!r:.60}")
    return value


def finite_number(value: Any) -> float | None:
    """The number as a float; None for what is none, or beyond the range of a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of JSON may have any length
        return None
    return number if math.isfinite(number) else None


def number_field(config: Mapping[str, Any], key: str, *, default: float | None = None) -> float:
    """A finite number; without `default` it must be there."""
    value = config.get(key, default)
    number = finite_number(value)
    if number is None:
        raise CheckpointError(f"{key} of {_CONFIG} must be a number, not {value!r:.60}")
    return number


def flag_field(config: Mapping[str, Any], key: str, *, default: bool) -> bool:
    """True or false."""
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{key} of {_CONFIG} must be true or false, not {value!r:.60}")
    return value


def require_field(config: Mapping[str, Any], key: str, required: bool | float | str) -> None:
    """An option that has only one supported value, which is also its default."""
    value = config.get(key, required)
    if value != required:
        raise CheckpointError(f"{key} must be {required!r}, not {value!r:.60}")


def special_tokens(
    config: Mapping[str, Any], generation: Mapping[str, Any], *, bos: int, eos: int
) -> SpecialTokens:
    """Opening and end tokens.

    Those of generation_config.json count before those of config.json, as they do when transformers
    generates. A list counts by its first token, and as `ends` as a whole. Null or no token in
    either file is the other special token, and `bos` or `eos` where there is none at all.
    """
    remarks: list[str] = []
    defaults = {"bos_token_id": bos, "eos_token_id": eos}
    found: dict[str, tuple[int, ...]] = {}
    for key, default in defaults.items():
        choices = [
            (file, _tokens(values[key], key, file, remarks))
            for file, values in ((_GENERATION, generation), (_CONFIG, config))
            if values.get(key) is not None
        ]
        if len({tokens[0] for _, tokens in choices}) > 1:
            (file, tokens), (other, others) = choices
            remarks.append(f"{key} is {tokens[0]} by {file}, not {others[0]} by {other}")
        given = key in config or key in generation
        found[key] = choices[0][1] if choices else () if given else (default,)
    for key, other in (("bos_token_id", "eos_token_id"), ("eos_token_id", "bos_token_id")):
        if not found[key]:
            chosen = found[other][0] if found[other] else defaults[key]
            remarks.append(f"{key} is null: token {chosen} is taken for it")
    opening = found["bos_token_id"] or found["eos_token_id"] or (bos,)
    ends = found["eos_token_id"] or found["bos_token_id"] or (eos,)
    return SpecialTokens(
        bos=opening[0], eos=ends[0], ends=tuple(dict.fromkeys(ends)), remarks=tuple(remarks)
    )


def _tokens(value: Any, key: str, file: str, remarks: list[str]) -> tuple[int, ...]:
    if not isinstance(value, list):
        return (integer_field({key: value}, key, file=file),)
    if not value:
        raise CheckpointError(f"{key} of {file} must be an integer or a list of them, not []")
    tokens = [integer_field({key: token}, key, file=file) for token in value]
    if len(set(tokens)) > 1 and key == "bos_token_id":
        remarks.append(f"{key} is the first of {tokens}: the others have no effect")
    return tuple(tokens)
