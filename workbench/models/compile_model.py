# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to an image: import, calibration, quantisation, layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware.tokenizer import load_tokenizer
from meadow.compiler.image import compile_image
from meadow.compiler.importers.checkpoint import Checkpoint, checkpoint_files, load_checkpoint
from meadow.compiler.importers.checkpoint_folder import file_of
from meadow.compiler.lowering.layout import choose_hidden_block
from meadow.compiler.packing.packing import check_codec
from meadow.compiler.quantise.accuracy import measure_accuracy
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.compiler.quantise.quantise import GRANULARITIES, require_quantisable
from meadow.compiler.quantise.recipe import Quantisation, Recipe, quantise_on_text
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.checks import check_choice
from meadow.spec.config import AcceleratorConfig
from meadow.spec.image import ChatFacts
from workbench.configurations.chosen import ChosenConfig
from workbench.demo.stories import generate_stories
from workbench.models.accuracy_report import accuracy_warnings
from workbench.models.chat_template_files import chat_template_files, read_chat_template
from workbench.models.text_windows import paragraph_texts, read_paragraphs
from workbench.models.tokenizer_files import read_tokenizer, tokenizer_files

__all__ = [
    "CompileOptions",
    "Loaded",
    "calibration_text",
    "compile_directory",
    "image_warnings",
    "input_files",
    "model_files",
    "quantise_directory",
]

_CALIBRATION_FILE = "calibration.txt"
_STORIES = 24
_STORY_SEED = 20_250_301
_RANDOM_SEQUENCES = 8
_SEQUENCE_TOKENS = 256
_CALIBRATION_WINDOWS, _WINDOW_TOKENS = 8, 511
_CHARACTERS_PER_TOKEN = 16
_WARNINGS = "warnings"

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """How a checkpoint becomes an image; ValueError names the choices.

    chosen: the configuration;
    hidden_block: hidden channels per pass of the MLP, None chooses the largest that leaves room for
        chunks; rotate, prefix: choices of `Recipe`; calibration: a text file to calibrate with
        instead of what `calibration_text` finds.
    """

    chosen: ChosenConfig
    codec: str = "auto"
    granularity: str = "channel"
    hidden_block: int | None = None
    context: int | None = None
    rotate: str = "auto"
    prefix: str = "auto"
    calibration: Path | None = None

    def __post_init__(self) -> None:
        check_codec(self.codec, self.chosen.config)
        check_choice("granularity", self.granularity, GRANULARITIES)
        self.recipe(None)

    def recipe(self, hidden_block: int | None) -> Recipe:
        """What of this is the quantiser's."""
        return Recipe(
            rotate=self.rotate,
            prefix=self.prefix,
            granularity=self.granularity,
            hidden_block=hidden_block,
            context=self.context,
        )


@dataclass(frozen=True)
class Loaded:
    """An image, and the quantised model it was compiled from where that is known."""

    image: Image
    quantised: QuantisedModel | None

    @property
    def warnings(self) -> list[str]:
        """See `image_warnings`."""
        return image_warnings(self.image)


def calibration_text(
    directory: Path, checkpoint: Checkpoint, chosen: Path | None = None
) -> tuple[list[np.ndarray], str]:
    """Token sequences to calibrate with, without the token that opens them, and where they are
    from.

    The paragraphs of the file `chosen` if there is one; else `calibration.txt` of the directory (a
    text per line); else, with a tokenizer, stories of the demo model's generator; else seeded
    random tokens.
    """
    d = checkpoint.description
    # One position is that of the token in front.
    limit = max(1, min(_SEQUENCE_TOKENS, d.max_positions) - 1)
    file = file_of(directory, _CALIBRATION_FILE) if chosen is None else chosen
    if checkpoint.tokenizer_json is None:
        if file is not None:
            raise ValueError(f"{file} needs a tokenizer.json beside the model")
        generator = np.random.default_rng(0)
        sequences = [generator.integers(0, d.vocabulary, limit) for _ in range(_RANDOM_SEQUENCES)]
        return sequences, f"{_RANDOM_SEQUENCES} sequences of seeded random tokens"
    tokenizer = load_tokenizer(checkpoint.tokenizer_json)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= d.vocabulary:
        raise ValueError(
            f"tokens of tokenizer.json must be below the model's vocabulary of {d.vocabulary}, "
            f"not {largest}"
        )
    if chosen is not None:
        length = max(1, min(_WINDOW_TOKENS, d.max_positions - 1))
        texts = paragraph_texts(read_paragraphs(chosen), tokenizer, length, _CALIBRATION_WINDOWS)
        return texts, f"{len(texts)} windows of {chosen.name}"
    if file is not None:
        try:
            lines = file.read_text("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be UTF-8 text: {error}") from None
        texts = [line for line in lines if line.strip()]
        if not texts:
            raise ValueError(f"{file} must hold at least one line of text")
        source = f"{len(texts)} lines of {_CALIBRATION_FILE}"
    else:
        texts = generate_stories(seed=_STORY_SEED, count=_STORIES)
        source = f"{_STORIES} stories of the demo generator"
    return [np.array(_start(tokenizer, text, limit), np.int64) for text in texts], source


def _start(tokenizer: Any, text: str, limit: int) -> list[int]:
    """The first `limit` tokens of a text, of which no more is encoded than they need: a line may be
    a whole book.
    """
    size = _CHARACTERS_PER_TOKEN * limit
    while True:
        ids = tokenizer.encode(text[:size], add_special_tokens=False).ids
        # Twice as many: words are not cut near the last one.
        if len(text) <= size or len(ids) >= 2 * limit:
            return ids[:limit]
        size *= 4


def quantise_directory(
    directory: Path, options: CompileOptions, log: Log
) -> tuple[Quantisation, Checkpoint, list[str]]:
    """Import, calibrate and quantise a checkpoint: the integers, with notes on where the text is
    from; the checkpoint as it was read; warnings. Raises the ValueErrors of these packages.
    """
    config = options.chosen.config
    tokenizer_json = read_tokenizer(directory)
    checkpoint = _served(load_checkpoint(directory), config)
    checkpoint = dataclasses.replace(checkpoint, tokenizer_json=tokenizer_json)
    require_quantisable(checkpoint.description)
    texts, source = calibration_text(directory, checkpoint, options.calibration)
    warnings = [*checkpoint.remarks]
    if tokenizer_json is None:
        warnings.append(
            "the model has no tokenizer (neither tokenizer.json nor vocab.json and merges.txt): "
            "it was calibrated with random tokens, so quantised ranges do not fit real text"
        )
    block = options.hidden_block
    if block is None:
        block = choose_hidden_block(checkpoint.description, config)
    log(f"quantising with {source}")
    found = quantise_on_text(checkpoint, texts, config, options.recipe(block), log)
    notes = {**found.model.notes, "calibration": source}
    model = dataclasses.replace(found.model, notes=notes)
    return dataclasses.replace(found, model=model), checkpoint, warnings


def _served(checkpoint: Checkpoint, config: AcceleratorConfig) -> Checkpoint:
    """The model with no more positions than the configuration serves. Rotary ones are as many as a
    file likes to say, a million of some models, and each costs a row of a table.
    """
    d = checkpoint.description
    if not d.rotary_base or d.max_positions <= config.max_context:
        return checkpoint
    served = dataclasses.replace(d, max_positions=config.max_context)
    return dataclasses.replace(checkpoint, description=served)


def compile_directory(directory: Path, options: CompileOptions, log: Log) -> Loaded:
    """Import, calibrate, quantise and compile a checkpoint. Raises the ValueErrors of these
    packages.
    """
    config = options.chosen.config
    chat = _chat_facts(directory)
    found, checkpoint, warnings = quantise_directory(directory, options, log)
    model = found.model
    if warnings:
        model = dataclasses.replace(model, notes={**model.notes, _WARNINGS: warnings})
    log(f"compiling for configuration {options.chosen.name}")
    image = compile_image(
        model,
        config,
        config_name=options.chosen.name,
        codec=options.codec,
        tokenizer_json=checkpoint.tokenizer_json or b"",
        context=options.context,
        end_tokens=checkpoint.end_tokens,
        chat=chat,
    )
    log("measuring how far the integers are from float")
    real = found.checkpoint
    accuracy = measure_accuracy(
        FloatModel(real.description, KeptTensors(real.tensors), np.float64, resident=False),
        BitTrueModel(model, config),
        found.sequences,
        found.statistics,
        context=image.manifest.context,
    )
    notes = {**model.notes, "accuracy": accuracy.to_dict()}
    manifest = dataclasses.replace(image.manifest, notes=notes)
    return Loaded(
        dataclasses.replace(image, manifest=manifest), dataclasses.replace(model, notes=notes)
    )


def _chat_facts(directory: Path) -> ChatFacts | None:
    """The chat template as the image keeps it."""
    template = read_chat_template(directory)
    if template is None:
        return None
    return ChatFacts(template.source, dict(template.special_tokens))


def image_warnings(image: Image) -> list[str]:
    """What a user of the image must know, a sentence each; usually nothing."""
    noted = image.manifest.notes.get(_WARNINGS)
    warnings = [str(warning) for warning in noted] if isinstance(noted, list) else []
    return warnings + accuracy_warnings(image.manifest)


def input_files(model: Path | None) -> list[Path]:
    """The files that a command reads of a model, as far as they are there, by name: those that
    `compile_directory` reads, the file itself, or none of the demo model; CheckpointError as it
    raises.
    """
    if model is None:
        return []
    return model_files(model) if model.is_dir() else [model]


def model_files(directory: Path) -> list[Path]:
    calibration = file_of(directory, _CALIBRATION_FILE)
    found = [
        *checkpoint_files(directory),
        *tokenizer_files(directory),
        *chat_template_files(directory),
    ]
    files = {path.name: path for path in [*found, *([calibration] if calibration else [])]}
    return [files[name] for name in sorted(files)]
