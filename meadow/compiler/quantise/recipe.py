# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint and sample text to integers: whether there is a prefix and a rotation, then
calibration and quantisation.

A rotation is measured before it is chosen: both models are calibrated and quantised on a little of
the text, and the bit-true tier's divergence from the float model on some more of it decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.lowering.limits import plan_limits
from meadow.compiler.quantise.calibrate import CalibrationStatistics, calibrate
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.compiler.quantise.prefix import first_token_is_sink
from meadow.compiler.quantise.quantise import quantise, require_quantisable
from meadow.compiler.quantise.text_figures import FloatStream, Window, compare_on_text
from meadow.compiler.rotation.rotated import RotatedTensors, rotate_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.model.quantised import QuantisedModel
from meadow.spec.checks import check_choice
from meadow.spec.config import AcceleratorConfig

__all__ = ["PREFIXES", "ROTATIONS", "Quantisation", "Recipe", "quantise_on_text"]

ROTATIONS = ("auto", "on", "off")
"""Keep a rotation that helps; always; never."""

PREFIXES = ("auto", "none")
"""The first token, if it is a sink; no prefix."""

_CALIBRATED_TOKENS, _MEASURED_TOKENS = 512, 256
_WINDOW = 256
"""Tokens of the texts that a rotation is measured on, and of one of them at most."""

_WORTH = 0.9
"""A rotation is kept if it leaves less than this part of the divergence."""

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What may be chosen; ValueError names the choices.

    hidden_block : hidden channels per pass of the MLP, None for all of them.
    context : tokens per sequence of the image to come, None for all that there is room for.
    """

    rotate: str = "auto"
    prefix: str = "auto"
    granularity: str = "channel"
    hidden_block: int | None = None
    context: int | None = None

    def __post_init__(self) -> None:
        check_choice("rotate", self.rotate, ROTATIONS)
        check_choice("prefix", self.prefix, PREFIXES)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """Integers and what they were made from.

    model : the integers.
    checkpoint : the float model in the integers' coordinates.
    turned : takes rows of the residual of the model as it was read to those coordinates.
    statistics : of the calibration. sequences : that it was taken over, from position 0 on.
    """

    model: QuantisedModel
    checkpoint: Checkpoint
    statistics: CalibrationStatistics
    sequences: tuple[np.ndarray, ...]
    turned: Callable[[np.ndarray], np.ndarray]


def quantise_on_text(
    checkpoint: Checkpoint,
    texts: Sequence[np.ndarray],
    config: AcceleratorConfig,
    recipe: Recipe,
    log: Log,
) -> Quantisation:
    """The integers of a checkpoint.

    texts : token sequences without the token that opens them, `bos_token`, which stands in front of
    each. config : what the bit-true tier is measured for. log : is told what takes long.
    ValueError for a model that cannot be quantised, one that cannot be rotated with `rotate` "on",
    texts without a token, a context without room for the prefix, and as `quantise` raises it.
    """
    d = checkpoint.description
    require_quantisable(d)
    opening = (d.bos_token,)
    texts = [text for text in texts if len(text)]
    if not texts:
        raise ValueError("calibration needs at least one token, not none")
    prefix: tuple[int, ...] = ()
    if recipe.prefix == "auto" and first_token_is_sink(checkpoint, opening, texts[0]):
        prefix = opening
        # Before the work, not when the image is made.
        plan_limits(
            d, config, hidden_block=recipe.hidden_block, context=recipe.context, prefix=prefix
        )
    chosen = _Model(checkpoint, opening, prefix, recipe)
    if recipe.rotate == "on":
        chosen = chosen.rotated()
    elif recipe.rotate == "auto":
        log("measuring whether a rotation helps")
        chosen = _better(chosen, texts, config)
    log(f"calibrating with {sum(map(len, texts))} tokens")
    return chosen.quantised(texts)


@dataclass(frozen=True)
class _Model:
    """A model in some coordinates, to be quantised."""

    checkpoint: Checkpoint
    opening: tuple[int, ...]
    prefix: tuple[int, ...]
    recipe: Recipe
    rotation: RotatedTensors | None = None

    def rotated(self) -> _Model:
        tensors = rotate_model(self.checkpoint.description, self.checkpoint.tensors)
        checkpoint = dataclasses.replace(
            self.checkpoint, description=tensors.description, tensors=tensors
        )
        return dataclasses.replace(self, checkpoint=checkpoint, rotation=tensors)

    def quantised(self, texts: Sequence[np.ndarray]) -> Quantisation:
        rest = self.opening[len(self.prefix) :]
        sequences = [np.concatenate([rest, text]).astype(np.int64) for text in texts]
        statistics = calibrate(self.checkpoint, sequences, prefix=self.prefix)
        model = quantise(
            self.checkpoint,
            statistics,
            granularity=self.recipe.granularity,
            hidden_block=self.recipe.hidden_block,
        )
        rotation = self.rotation
        notes = {**model.notes, "rotated": rotation is not None, "prefix": list(self.prefix)}
        return Quantisation(
            model=dataclasses.replace(model, notes=notes),
            checkpoint=self.checkpoint,
            statistics=statistics,
            sequences=tuple(
                np.concatenate([self.prefix, ids]).astype(np.int64) for ids in sequences
            ),
            turned=_same if rotation is None else rotation.turned,
        )


def _better(plain: _Model, texts: Sequence[np.ndarray], config: AcceleratorConfig) -> _Model:
    """The model as it is, or rotated, whichever stays nearer to float on a little text."""
    try:
        rotated = plain.rotated()
    except ValueError:
        return plain
    d = plain.checkpoint.description
    length = min(_WINDOW, min(d.max_positions, config.max_context) - len(plain.opening))
    calibrated = _taken(texts, length, _CALIBRATED_TOKENS)
    # Other texts than those it is calibrated with, as far as there are any.
    others = _taken(texts[len(calibrated) :] or texts, length, _MEASURED_TOKENS)
    windows = [
        Window(np.concatenate([plain.opening, text]).astype(np.int64), len(plain.opening) + 1)
        for text in others
        if len(text) > 1
    ]
    if not windows:
        return plain
    tensors = KeptTensors(plain.checkpoint.tensors, np.float32)
    real = FloatStream(FloatModel(d, tensors, np.float32, resident=False))
    divergences = []
    for model in (plain, rotated):
        found = model.quantised(calibrated)
        tier = IntegerStream(BitTrueModel(found.model, config))
        divergences.append(compare_on_text(real, tier, windows).divergence)
    return rotated if divergences[1] < _WORTH * divergences[0] else plain


def _taken(texts: Sequence[np.ndarray], length: int, tokens: int) -> list[np.ndarray]:
    """The first texts that have so many tokens together, each cut to `length`."""
    taken: list[np.ndarray] = []
    for text in texts:
        if sum(map(len, taken)) >= tokens:
            break
        taken.append(text[:length])
    return taken


def _same(rows: np.ndarray) -> np.ndarray:
    """Rows of a model that is not rotated."""
    return rows
