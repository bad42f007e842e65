# SPDX-License-Identifier: Apache-2.0
"""What is known of a family of models whose checkpoints are imported, as entries of tables.

A family says how a configuration becomes a description, what its checkpoints call each canonical
tensor, and how the rows of a stored tensor are arranged. Finding, checking and reading of tensors
is the same for all (`model_tensors.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.spec.model import ModelDescription

__all__ = ["Described", "Family", "TensorLayout", "as_stored", "stored_names"]

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a configuration says.

    description : sizes and rules.
    end_tokens : all tokens that end a sequence, the description's `eos_token` first.
    remarks : what could not be taken over as it is, in a sentence each.

    CheckpointError for an end token that the model does not have.
    """

    description: ModelDescription
    end_tokens: tuple[int, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        vocabulary = self.description.vocabulary
        wrong = [token for token in self.end_tokens if not 0 <= token < vocabulary]
        if wrong:
            raise CheckpointError(
                f"an end token must be below the vocabulary of {vocabulary}, not {wrong[0]}"
            )


def as_stored(description: ModelDescription, name: str, array: np.ndarray) -> np.ndarray:
    """The arrangement of a layout that stores its tensors as they are wanted."""
    return array


def stored_names(
    outside: Mapping[str, str], modules: Mapping[str, str], *, layers: str
) -> Callable[[str], str]:
    """`TensorLayout.stored_name` by two tables: of the tensors outside the layers, and of the parts
    of a layer, which the files call `layers`.
    """

    def stored_name(name: str) -> str:
        if name in outside:
            return outside[name]
        _, index, module, kind = name.split(".")
        return f"{layers}.{index}.{modules[module]}.{kind}"

    return stored_name


@dataclass(frozen=True, kw_only=True)
class TensorLayout:
    """How one kind of file holds the tensors of a family.

    title : a model of the family as messages say it, with its article: "an OPT".
    stored_name : canonical name -> name in the files, without what wraps the model.
    is_stored : (configuration, canonical name) -> False for a tensor which the configuration leaves
        out, whose weights are 1 and whose biases are 0.
    arrange : (description, canonical name, array as stored) -> array as the canonical tensor has
        it; it may be the same memory.
    unused : names, or last parts of names, of tensors that files may hold and nobody needs.
    """

    title: str
    stored_name: Callable[[str], str]
    is_stored: Callable[[Config, str], bool] = lambda config, name: True
    arrange: Callable[[ModelDescription, str, np.ndarray], np.ndarray] = as_stored
    unused: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family in Hugging Face's layout.

    describe : (config.json, generation_config.json) -> what they say. Raises CheckpointError.
    layout : its tensors.
    """

    describe: Callable[[Config, Config], Described]
    layout: TensorLayout
