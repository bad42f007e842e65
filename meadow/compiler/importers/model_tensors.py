# SPDX-License-Identifier: Apache-2.0
"""From the tensors of a checkpoint's files to the canonical tensors of its description, read when
they are asked for.

A tied head is stored as the embedding, as the head, or as both if they are equal but for rounding,
of which the finer one counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.family import TensorLayout
from meadow.model.shaped_tensors import ShapedTensors
from meadow.spec.model import ModelDescription

__all__ = ["ModelTensors", "Stored", "tensor_sources"]


class Stored(Protocol):
    """Tensors of files under the names of their model; none is read before it is asked for."""

    def __contains__(self, name: str) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...

    def stored_name(self, name: str) -> str:
        """What the file calls the tensor."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """The tensor's shape."""
        ...

    def read(self, name: str) -> np.ndarray:
        """The tensor as float32."""
        ...

    def finer(self, first: str, second: str) -> str | None:
        """Which of two tensors that are equal but for rounding is the finer; None if they are not
        equal.
        """
        ...


def tensor_sources(
    stored: Stored, layout: TensorLayout, description: ModelDescription, config: Mapping[str, Any]
) -> dict[str, str]:
    """Canonical name -> stored name of all tensors but those that the configuration leaves out.

    CheckpointError if one is not there or has another shape, or if the weights hold anything else.
    Values are not read, but for those of a tied head that is stored twice.
    """
    if description.layers > len(stored):
        # Before a table of that many layers is made.
        raise CheckpointError(
            f"the weights must hold tensors of {description.layers} layers, "
            f"not {len(stored)} tensors in all"
        )
    sources = {
        name: layout.stored_name(name)
        for name in description.tensor_shapes
        if layout.is_stored(config, name)
    }
    embedding, head = layout.stored_name("embed_tokens"), layout.stored_name("head")
    if description.tied_head and head in stored:
        finer = head if embedding not in stored else stored.finer(embedding, head)
        if finer is None:
            raise CheckpointError(
                f"{head} must equal {embedding} where tie_word_embeddings is true; it differs"
            )
        sources["embed_tokens"] = finer
    _check_names(stored, layout, description, sources)
    return sources


class ModelTensors(ShapedTensors):
    """The description's tensors, float32, under their canonical names in the order of the data
    flow.

    A tensor is read from its file, and arranged, when it is asked for; those of the layer that was
    asked for last are kept, so that a model which is walked layer by layer is read once and never
    lies in memory as a whole.

    sources : of `tensor_sources`. CheckpointError, when it is made, if a value is not finite.
    """

    def __init__(
        self,
        stored: Stored,
        layout: TensorLayout,
        description: ModelDescription,
        sources: Mapping[str, str],
    ) -> None:
        self.shapes = description.tensor_shapes
        self._stored, self._layout, self._description = stored, layout, description
        self._sources = sources
        self._kept: dict[str, np.ndarray] = {}
        for name in sources:
            self._check(name)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._kept:
            array = self._read(name)
            if any(_layer(kept) != _layer(name) for kept in self._kept):
                self._kept.clear()
            self._kept[name] = array
        return self._kept[name]

    def _read(self, name: str) -> np.ndarray:
        if name not in self._sources:
            fill = 1.0 if name.endswith(".weight") else 0.0
            return np.full(self.shapes[name], fill, np.float32)
        array = self._stored.read(self._sources[name])
        return self._layout.arrange(self._description, name, array)

    def _check(self, name: str) -> None:
        array = self._stored.read(self._sources[name])
        finite = np.isfinite(array)
        if not finite.all():
            bad = array.reshape(-1)[int(np.argmin(finite))]
            raise CheckpointError(f"{self._sources[name]} must hold finite values only, not {bad}")


def _layer(name: str) -> str:
    """What is kept together: the tensors of a layer, any other tensor by itself."""
    return ".".join(name.split(".")[:2]) if name.startswith("layers.") else name


def _check_names(
    stored: Stored, layout: TensorLayout, description: ModelDescription, sources: Mapping[str, str]
) -> None:
    """All sources are there in the right shape, and nothing else is."""
    embedding, head = layout.stored_name("embed_tokens"), layout.stored_name("head")
    tied = description.tied_head
    shapes = description.tensor_shapes
    for name, source in sources.items():
        shape = shapes[name]
        if source not in stored:
            either = f" (or {head})" if name == "embed_tokens" and tied else ""
            raise CheckpointError(f"the weights must hold {source}{either} of shape {list(shape)}")
        if stored.shape(source) != shape:
            raise CheckpointError(
                f"{source} must have the shape {list(shape)}, not {list(stored.shape(source))}"
            )
    known = {*sources.values(), *((embedding, head) if tied else ())}
    unknown = [
        name
        for name in stored
        if name not in known and not layout.unused & {name, name.split(".")[-1]}
    ]
    if unknown:
        name = min(unknown)
        full = stored.stored_name(name)
        where = "" if full == name else f" (stored as {full:.80})"
        raise CheckpointError(f"{layout.title} model has no tensor {name:.80}{where}")
