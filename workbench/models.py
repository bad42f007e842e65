# SPDX-License-Identifier: Apache-2.0
"""Models as a command line names them: an image file, a checkpoint directory, or the demo model."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosim.cache import cache_directory, content_hash, obtain
from firmware.image import read_image
from firmware.tokenizer import load_tokenizer
from meadow.compiler.accuracy import measure_accuracy
from meadow.compiler.calibrate import calibrate
from meadow.compiler.checkpoint import Checkpoint, load_checkpoint
from meadow.compiler.image import compile_image, write_image
from meadow.compiler.layout import choose_hidden_block
from meadow.compiler.packing import CODECS
from meadow.compiler.quantise import GRANULARITIES, quantise
from meadow.golden.bit_true import BitTrueModel
from meadow.golden.float_tier import FloatModel
from meadow.golden.image import Image
from meadow.golden.quantised import QuantisedModel
from meadow.spec.config import named_config
from meadow.spec.contract import contract_hash
from workbench.accuracy_report import warn_of_accuracy
from workbench.demo.stories import generate_stories

__all__ = [
    "DEMO_MODEL",
    "CompileOptions",
    "Loaded",
    "calibration_text",
    "compile_directory",
    "load_model",
]

DEMO_MODEL = Path(__file__).parent / "demo" / "model"

_ROOT = Path(__file__).resolve().parents[1]
_CALIBRATION_FILE = "calibration.txt"
_STORIES = 24
_STORY_SEED = 20_250_301
_RANDOM_SEQUENCES = 8
_SEQUENCE_TOKENS = 256

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """How a checkpoint becomes an image; ValueError names the choices.

    hidden_block: hidden channels per pass of the MLP, None chooses the largest that leaves room for chunks.
    """

    config_name: str
    codec: str = "auto"
    granularity: str = "channel"
    hidden_block: int | None = None
    context: int | None = None

    def __post_init__(self) -> None:
        named_config(self.config_name)
        for name, choices in (("codec", CODECS), ("granularity", GRANULARITIES)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )


@dataclass(frozen=True)
class Loaded:
    """An image, and the quantised model it was compiled from where that is known."""

    image: Image
    quantised: QuantisedModel | None


def calibration_text(directory: Path, checkpoint: Checkpoint) -> tuple[list[np.ndarray], str]:
    """Token sequences to calibrate with, and where they are from.

    `calibration.txt` of the directory (a text per line) if there is one; else, with a tokenizer, stories of the demo
    model's generator; else seeded random tokens.
    """
    d = checkpoint.description
    limit = min(_SEQUENCE_TOKENS, d.max_positions)
    file = directory / _CALIBRATION_FILE
    if checkpoint.tokenizer_json is None:
        if file.exists():
            raise ValueError(f"{file} needs a tokenizer.json beside it")
        generator = np.random.default_rng(0)
        sequences = [
            np.concatenate([[d.bos_token], generator.integers(0, d.vocabulary, limit - 1)])
            for _ in range(_RANDOM_SEQUENCES)
        ]
        return sequences, f"{_RANDOM_SEQUENCES} sequences of seeded random tokens"
    tokenizer = load_tokenizer(checkpoint.tokenizer_json)
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= d.vocabulary:
        raise ValueError(
            f"tokens of tokenizer.json must be below the model's vocabulary of {d.vocabulary}, "
            f"not {largest}"
        )
    if file.exists():
        try:
            lines = file.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{file} must be UTF-8 text: {error}") from None
        texts = [line for line in lines if line.strip()]
        if not texts:
            raise ValueError(f"{file} must hold at least one line of text")
        source = f"{len(texts)} lines of {_CALIBRATION_FILE}"
    else:
        texts = generate_stories(seed=_STORY_SEED, count=_STORIES)
        source = f"{_STORIES} stories of the demo generator"
    return [np.array(tokenizer.encode(text).ids[:limit], np.int64) for text in texts], source


def compile_directory(directory: Path, options: CompileOptions, log: Log) -> Loaded:
    """Import, calibrate, quantise and compile a checkpoint. Raises the ValueErrors of these packages."""
    config = named_config(options.config_name)
    checkpoint = load_checkpoint(directory)
    sequences, source = calibration_text(directory, checkpoint)
    log(f"calibrating with {source}")
    statistics = calibrate(checkpoint, sequences)
    block = options.hidden_block
    if block is None:
        block = choose_hidden_block(checkpoint.description, config)
    model = quantise(checkpoint, statistics, granularity=options.granularity, hidden_block=block)
    model = dataclasses.replace(model, notes={**model.notes, "calibration": source})
    log(f"compiling for configuration {options.config_name}")
    image = compile_image(
        model,
        config,
        config_name=options.config_name,
        codec=options.codec,
        tokenizer_json=checkpoint.tokenizer_json or b"",
        context=options.context,
    )
    log("measuring how far the integers are from float")
    accuracy = measure_accuracy(
        FloatModel(checkpoint.description, checkpoint.tensors, np.float64),
        BitTrueModel(model, config),
        sequences,
        statistics,
        context=image.manifest.context,
    )
    notes = {**model.notes, "accuracy": accuracy.to_dict()}
    manifest = dataclasses.replace(image.manifest, notes=notes)
    return Loaded(
        dataclasses.replace(image, manifest=manifest), dataclasses.replace(model, notes=notes)
    )


def load_model(source: Path | None, options: CompileOptions, log: Log) -> Loaded:
    """The model a command line names: None is the demo model, a directory is compiled (once), a file is an image.

    ValueError if an image is not of the configuration asked for.
    """
    if source is not None and not source.is_dir():
        image = read_image(source, contract_hash=contract_hash(named_config(options.config_name)))
        warn_of_accuracy(image.manifest)
        return Loaded(image, None)
    directory = DEMO_MODEL if source is None else source
    parts: list[str | bytes] = [repr(options)]
    for path in sorted(directory.glob("*")):
        parts += [path.name, path.read_bytes()] if path.is_file() else [path.name]
    for folder in ("meadow", "workbench/demo"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            parts += [str(path.relative_to(_ROOT)), path.read_bytes()]
    parts.append(Path(__file__).read_bytes())

    def build(scratch: Path) -> None:
        loaded = compile_directory(directory, options, log)
        write_image(loaded.image, scratch / "model.meadow")
        (scratch / "quantised.pickle").write_bytes(pickle.dumps(loaded.quantised))

    made = obtain(cache_directory() / "models" / content_hash(*parts), build)
    quantised = pickle.loads((made / "quantised.pickle").read_bytes())
    image = read_image(made / "model.meadow")
    warn_of_accuracy(image.manifest)
    return Loaded(image, quantised)
