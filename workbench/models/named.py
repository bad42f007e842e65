# SPDX-License-Identifier: Apache-2.0
"""A model as `run` and `verify` are given it: what is known of it before it is compiled, and the
image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmware.chat_template import ChatTemplate
from firmware.image import read_image
from meadow.compiler.importers.checkpoint import read_description
from meadow.compiler.importers.gguf_file import is_gguf
from meadow.compiler.lowering.limits import plan_limits
from meadow.model.image import Image
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.limits import Limits
from workbench.configurations.chosen import ChosenConfig, choose_config
from workbench.models.cached import DEMO_MODEL, CompileOptions, Loaded, load_model
from workbench.models.chat_template_files import read_chat_template
from workbench.models.tokenizer_files import read_tokenizer
from workbench.warning import warn

__all__ = ["DEFAULT_CONFIG", "NamedModel", "find_model"]

DEFAULT_CONFIG = "tiny"

Log = Callable[[str], None]


@dataclass(frozen=True)
class NamedModel:
    """limits: what requests must fit; step: (position, tokens) of the only step an image serves,
    None for any;
    tokenizer_json: bytes, empty without one; template: of a chat, None without one; make: what
    `load` calls."""

    limits: Limits
    step: tuple[int, int] | None
    tokenizer_json: bytes
    template: ChatTemplate | None
    make: Callable[[Log], Loaded]

    def load(self, log: Log) -> Loaded:
        """The image, compiled where that is needed; its warnings are said on stderr. `log` is told
        what takes long.
        """
        loaded = self.make(log)
        for warning in loaded.warnings:
            warn(warning)
        return loaded


def find_model(source: Path | None, chosen: ChosenConfig | None) -> NamedModel:
    """The model that a command line names: None is the demo model, a directory or a GGUF
    file a checkpoint, any other file an image.

    chosen: the configuration, None is an image's own and DEFAULT_CONFIG for what must be compiled.
    Nothing is compiled yet. ValueError for an image of another configuration, a model that it
    cannot hold; what reading raises.
    """
    if source is not None and not source.is_dir() and not is_gguf(source):
        image = read_image(source)
        _check_config(source, image, chosen)
        manifest = image.manifest
        chat = manifest.chat
        return NamedModel(
            manifest.limits,
            manifest.step,
            image.tokenizer.tobytes(),
            None
            if chat is None
            else ChatTemplate(source=chat.source, special_tokens=chat.special_tokens),
            lambda _: Loaded(image, None),
        )
    directory = DEMO_MODEL if source is None else source
    options = CompileOptions(chosen=chosen or choose_config(DEFAULT_CONFIG))
    limits = plan_limits(read_description(directory), options.chosen.config)
    return NamedModel(
        limits,
        None,
        read_tokenizer(directory) or b"",
        read_chat_template(directory),
        lambda log: load_model(directory, options, log),
    )


def _check_config(source: Path, image: Image, chosen: ChosenConfig | None) -> None:
    """ValueError if the image was compiled for another configuration than the one asked for."""
    if chosen is None:
        return
    manifest = image.manifest
    if contract_hash(chosen.config) == manifest.contract_hash:
        return
    own = manifest.config_name
    if own == chosen.name:
        raise ValueError(
            f"{source} was compiled for contract {manifest.contract_hash[:12]}, when "
            f"configuration {own!r} was another: "
            "leave --config out, or compile it again"
        )
    raise ValueError(
        f"{source} was compiled for configuration {own!r}, not {chosen.name!r}: "
        f"leave --config out{f' or give --config {own}' if own in CONFIGURATIONS else ''}"
    )
