# SPDX-License-Identifier: Apache-2.0
"""`meadow compile`: a checkpoint directory to an image file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from meadow.atomic_write import check_apart, check_replaceable
from meadow.compiler.image import write_image
from meadow.compiler.importers.checkpoint import read_description
from meadow.compiler.lowering.limits import plan_limits
from meadow.compiler.quantise.quantise import GRANULARITIES
from meadow.model.image import Image
from meadow.spec.checks import check_least
from workbench.configurations.chosen import ChosenConfig
from workbench.console import print_json, say
from workbench.models.accuracy_report import accuracy_lines
from workbench.models.compile_model import (
    CompileOptions,
    compile_directory,
    image_warnings,
    model_files,
)
from workbench.options import (
    CalibrationOption,
    CodecOption,
    JsonOption,
    PrefixOption,
    RotateOption,
    path_argument,
    path_option,
    takes_config,
)
from workbench.progress import log
from workbench.warning import warn

__all__ = ["compile_command", "image_report"]


def image_report(image: Image, path: Path) -> dict[str, Any]:
    """JSON-ready numbers of a compiled image: sizes in bytes, bits per stored weight, how it was
    quantised.
    """
    manifest = image.manifest
    weights = sum(matrix.outputs * matrix.inputs for matrix in manifest.matrices)
    stored = sum(matrix.size_bytes for matrix in manifest.matrices)
    codecs: dict[str, int] = {}
    for matrix in manifest.matrices:
        codecs[matrix.codec] = codecs.get(matrix.codec, 0) + 1
    return {
        "image": str(path),
        "config": manifest.config_name,
        "contract_hash": manifest.contract_hash,
        "parameters": manifest.config.to_dict(),
        "file_bytes": path.stat().st_size,
        "weights": weights,
        "weight_bytes": stored,
        "bits_per_weight": 8 * stored / weights,
        "codecs": codecs,
        "commands": manifest.commands,
        "context": manifest.context,
        "prefix": list(manifest.prefix),
        "chunk_tokens": manifest.chunk_tokens,
        "hidden_block": manifest.hidden_block,
        "accuracy": manifest.notes.get("accuracy"),
        "notes": {name: note for name, note in manifest.notes.items() if name != "accuracy"},
        "warnings": image_warnings(image),
    }


@takes_config("tiny")
def compile_command(
    model_dir: Annotated[Path, path_argument(help="Checkpoint directory or GGUF file.")],
    output: Annotated[Path, path_option("-o", "--output", help="Image file to write.")],
    *,
    config: ChosenConfig,
    codec: CodecOption = "auto",
    granularity: Annotated[
        str, typer.Option(help=f"Weight scales per {' or per '.join(GRANULARITIES)}.")
    ] = "channel",
    hidden_block: Annotated[
        int | None,
        typer.Option(
            help="Hidden channels per pass of the MLP; as many as leave room for chunks, if left "
            "out."
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="Tokens per sequence; all that model and configuration allow, if left out."
        ),
    ] = None,
    rotate: RotateOption = "auto",
    prefix: PrefixOption = "auto",
    calibration: CalibrationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Quantise and pack a checkpoint for a configuration."""
    options = CompileOptions(
        chosen=config,
        codec=codec,
        granularity=granularity,
        hidden_block=hidden_block,
        context=context,
        rotate=rotate,
        prefix=prefix,
        calibration=calibration,
    )
    for name, value in (("hidden_block", hidden_block), ("context", context)):
        check_least(name, value, 1)
    check_replaceable(output, "the image")
    plan_limits(
        read_description(model_dir),
        config.config,
        hidden_block=hidden_block,
        context=context,
    )
    read = [*model_files(model_dir), *([calibration] if calibration is not None else [])]
    check_apart(output, read, "the image")
    image = compile_directory(model_dir, options, log).image
    write_image(image, output)
    report = image_report(image, output)
    for warning in report["warnings"]:
        warn(warning)
    if as_json:
        print_json(report)
        return
    say(
        f"{output}: {report['file_bytes']} bytes for configuration {config.name}, "
        f"{report['bits_per_weight']:.2f} bits per weight of the matrices (slice headers, tables "
        f"and padding count, embeddings do not), context {report['context']}, "
        f"chunks of up to {report['chunk_tokens']} tokens, "
        f"calibrated with {report['notes'].get('calibration')}"
    )
    for line in accuracy_lines(image.manifest):
        say(line)
