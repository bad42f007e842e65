# SPDX-License-Identifier: Apache-2.0
"""Checkpoint directories, compiled once, and the demo model."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path

from cosim.cache import cache_directory, content_hash, obtain
from firmware.image import read_image
from meadow.compiler.image import write_image
from meadow.compiler.quantise.quantised_file import read_quantised, write_quantised
from workbench.models import compile_model
from workbench.models.compile_model import CompileOptions, Loaded, compile_directory, model_files
from workbench.models.imported_sources import imported_sources

__all__ = ["DEMO_MODEL", "CompileOptions", "Loaded", "compile_directory", "load_model"]

DEMO_MODEL = Path(__file__).parents[1] / "demo" / "model"

_ROOT = Path(__file__).resolve().parents[2]

Log = Callable[[str], None]


def load_model(directory: Path | None, options: CompileOptions, log: Log) -> Loaded:
    """The model of a checkpoint directory, compiled once; None is the demo model."""
    return _compiled_once(DEMO_MODEL if directory is None else directory, options, log)


def _compiled_once(directory: Path, options: CompileOptions, log: Log) -> Loaded:
    """The image of a directory and its quantised model, out of the cache or compiled into it."""

    def build(scratch: Path) -> None:
        loaded = compile_directory(directory, options, log)
        assert loaded.quantised is not None
        write_image(loaded.image, scratch / "model.meadow")
        write_quantised(loaded.quantised, scratch / "quantised.npz")

    made = obtain(cache_directory() / "models" / _compile_key(directory, options), build, log=log)
    image = read_image(made / "model.meadow")
    # It may have been compiled for a configuration of the same contents and another name.
    manifest = replace(image.manifest, config_name=options.chosen.name)
    return Loaded(replace(image, manifest=manifest), read_quantised(made / "quantised.npz"))


def _compile_key(directory: Path, options: CompileOptions) -> str:
    """Hash of all that the compiled model depends on: options, of the configuration its contents
    alone, sources, versions and the model's own files.

    Files are read in pieces; what else lies in the directory is not looked at.
    """
    others = {field.name: getattr(options, field.name) for field in fields(options)}
    config = json.dumps(others.pop("chosen").config.to_dict())
    parts: list[str | bytes] = [config, repr(others), platform.python_version(), platform.machine()]
    parts += [f"{package} {version(package)}" for package in ("numpy", "tokenizers", "gguf")]
    sources = imported_sources(compile_model.__name__, _ROOT)
    text = [options.calibration] if options.calibration is not None else []
    for path in (*sources, *model_files(directory), *text):
        with path.open("rb") as file:
            parts += [os.fsencode(path.name), hashlib.file_digest(file, "sha256").hexdigest()]
    return content_hash(*parts)
