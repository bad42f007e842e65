# SPDX-License-Identifier: Apache-2.0
"""`meadow accuracy`: what the integers of a model make of a text, and what the float model does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from firmware.tokenizer import load_tokenizer
from meadow.compiler.importers.checkpoint import Checkpoint, read_description
from meadow.compiler.importers.gguf_file import is_gguf
from meadow.compiler.lowering.limits import plan_limits
from meadow.compiler.quantise.error_figures import overall_figures
from meadow.compiler.quantise.integer_stream import IntegerStream
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.compiler.quantise.quantise import require_quantisable
from meadow.compiler.quantise.recipe import Quantisation
from meadow.compiler.quantise.text_figures import FloatStream, Window, compare_on_text
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.float_tier import FloatModel
from meadow.spec.checks import check_least
from meadow.spec.config import AcceleratorConfig
from meadow.spec.model import ModelDescription
from workbench.configurations.chosen import ChosenConfig, config_facts
from workbench.console import print_json, say, show
from workbench.demo.stories import generate_stories
from workbench.models.cached import DEMO_MODEL
from workbench.models.compile_model import CompileOptions, quantise_directory
from workbench.models.machine_check import check_with_machine
from workbench.models.text_windows import read_paragraphs, text_windows
from workbench.models.tokenizer_files import read_tokenizer
from workbench.options import (
    CalibrationOption,
    JsonOption,
    PrefixOption,
    RotateOption,
    path_argument,
    path_option,
    takes_config,
)
from workbench.progress import bar, log

__all__ = ["accuracy_command", "measured_windows"]

_WINDOW_TOKENS = 511
_STORY_SEED, _STORIES_PER_TOKEN = 20_260_301, 1 / 50


@takes_config("tiny")
def accuracy_command(
    model: Annotated[
        Path | None,
        path_argument(help="Checkpoint directory or GGUF file; the demo model if left out."),
    ] = None,
    text: Annotated[
        Path | None,
        path_option(
            help="Text to measure on, paragraphs between empty lines; stories if left out."
        ),
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens of text at least; windows are whole.")] = 2048,
    *,
    config: ChosenConfig,
    rotate: RotateOption = "auto",
    prefix: PrefixOption = "auto",
    calibration: CalibrationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Perplexity of a model in integers and in float, and how far they are apart."""
    options = CompileOptions(chosen=config, rotate=rotate, prefix=prefix, calibration=calibration)
    check_least("tokens", tokens, 1)
    directory = DEMO_MODEL if model is None else model
    if directory.is_file() and not is_gguf(directory):
        raise ValueError(
            f"accuracy needs the float model too, a checkpoint directory or a GGUF file, not "
            f"{directory}: an image has integers only"
        )
    description = read_description(directory)
    require_quantisable(description)
    plan_limits(description, config.config)
    windows = measured_windows(directory, description, config.config, text, tokens)
    if calibration is not None:
        read_paragraphs(calibration)
    found, checkpoint, _ = quantise_directory(directory, options, log)
    report = _report(checkpoint, found, windows, config.config)
    log("computing a sample with the golden machine")
    stream = IntegerStream(BitTrueModel(found.model, config.config))
    checked = check_with_machine(stream, found.model, windows, config.config, config.name)
    report |= {
        "config": config.name,
        **config_facts(config.config),
        "model": str(directory),
        "text": "stories of the demo generator" if text is None else str(text),
        "windows": [len(windows), len(windows[0].tokens)],
        "checked": checked,
        "notes": dict(found.model.notes),
    }
    if as_json:
        print_json(report)
        return
    _tell(report)


def measured_windows(
    directory: Path,
    description: ModelDescription,
    config: AcceleratorConfig,
    text: Path | None,
    tokens: int,
) -> list[Window]:
    """Windows of the token that opens a text and 511 tokens of it, or as many as there is room for;
    of stories without a text. ValueError without a tokenizer, or if the text is too short.
    """
    content = read_tokenizer(directory)
    if content is None:
        raise ValueError(f"accuracy needs the model's tokenizer; there is none in {directory}")
    tokenizer = load_tokenizer(content)
    if text is None:
        count = max(64, round(tokens * _STORIES_PER_TOKEN))
        paragraphs = generate_stories(seed=_STORY_SEED, count=count)
    else:
        paragraphs = read_paragraphs(text)
    room = min(description.max_positions, config.max_context) - 1
    return text_windows(
        paragraphs,
        tokenizer,
        prefix=[description.bos_token],
        text_tokens=min(_WINDOW_TOKENS, room),
        tokens=tokens,
    )


def _report(
    checkpoint: Checkpoint,
    found: Quantisation,
    windows: Sequence[Window],
    config: AcceleratorConfig,
) -> dict[str, Any]:
    """Figures of the text and of every layer."""
    tensors = KeptTensors(checkpoint.tensors, np.float32)
    real = FloatModel(checkpoint.description, tensors, np.float32, resident=False)
    layers = _Layers(found, len(windows[0].tokens) - 1)
    stream = IntegerStream(BitTrueModel(found.model, config))
    with bar(f"measuring on {len(windows)} windows of text") as advance:
        figures = compare_on_text(
            FloatStream(real), stream, windows, advance=advance, look=layers.look
        )
    return figures.to_dict() | {"layers": layers.entries}


@dataclass
class _Layers:
    """Compares the residual behind every layer, without the token that opens a window."""

    found: Quantisation
    tokens: int

    def __post_init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def look(
        self, index: int, reference: Sequence[np.ndarray], measured: Sequence[np.ndarray]
    ) -> None:
        scale = np.float32(self.found.model.residual_scale)
        cosine, snr_db = overall_figures(
            (self.found.turned(x[-self.tokens :]), y[-self.tokens :] * scale)
            for x, y in zip(reference, measured, strict=True)
        )
        name = "embedding" if index < 0 else f"layers.{index}"
        self.entries.append({"name": name, "cosine": cosine, "snr_db": snr_db})


def _tell(report: dict[str, Any]) -> None:
    """The report in words and a table."""
    perplexity = report["perplexity"]
    notes = report["notes"]
    rotated = "rotated" if notes["rotated"] else "not rotated"
    prefix = f"prefix {notes['prefix']}" if notes["prefix"] else "no prefix"
    say(f"{report['model']} for {report['config']}, {rotated}, {prefix}, on {report['text']}")
    say(
        f"{report['tokens']} tokens: perplexity {perplexity['float']:.4f} in float, "
        f"{perplexity['integer']:.4f} in integers, ratio {report['ratio']:.4f}"
    )
    say(
        f"KL {report['kl_nats']:.5f} nats per token, the same first choice for "
        f"{report['top1_agreement']:.1%} of them"
    )
    checked = report["checked"]
    say(
        f"{checked['tokens']} tokens at the beginning of {checked['windows']} windows went through "
        f"the golden machine as well: {checked['logits']} logits, all equal"
    )
    table = Table("residual behind", "cosine", "SNR dB")
    for entry in report["layers"]:
        table.add_row(entry["name"], f"{entry['cosine']:.5f}", f"{entry['snr_db']:.1f}")
    show(table)
