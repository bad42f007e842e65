# SPDX-License-Identifier: Apache-2.0
"""The configuration that a command line asks for: the one place where a name, a file and settings
become one.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig, named_config
from meadow.spec.contract import contract_hash
from workbench.configurations.settings import built, read_config_file, read_settings

__all__ = ["SUFFIX", "ChosenConfig", "choose_config", "config_facts"]

SUFFIX = ".toml"

_UNSAFE = re.compile(r"[^\w.-]")
"""What a file may be called and a report does not repeat."""


@dataclass(frozen=True, kw_only=True)
class ChosenConfig:
    """A configuration and where it is from.

    name: a built-in one's, or the stem of the file, with the settings behind: "tiny+lanes=4".
    config: its contents. What is kept by content is kept by this alone.
    base: the built-in configuration that it is or starts from, None without one.
    arguments: of a command line that asks for it.
    """

    name: str
    config: AcceleratorConfig
    base: str | None
    arguments: str


def choose_config(text: str, settings: Sequence[str] = ()) -> ChosenConfig:
    """The configuration that `text` names, a built-in one or a file, with `settings` (KEY=VALUE) on
    top.

    ValueError, a line that names the rule and the value, for what there is not, cannot be read or
    cannot be built.
    """
    changes = read_settings(settings)
    if text not in CONFIGURATIONS and _is_path(text):
        path = Path(text)
        file = read_config_file(path)
        name, base, values = _UNSAFE.sub("_", path.stem), file.base, {**file.values, **changes}
    else:
        named_config(text)
        name, base, values = text, text, changes
    try:
        config = built(None if base is None else CONFIGURATIONS[base], values)
    except ValueError as error:
        with_settings = f" with {', '.join(settings)}" if settings else ""
        raise ValueError(f"configuration {text}{with_settings}: {error}") from None
    # As they were understood, not as they were written.
    parts = [f"{key}={_word(getattr(config, key))}" for key in changes]
    return ChosenConfig(
        name="+".join((name, *parts)),
        config=config,
        base=base,
        arguments=shlex.join(("--config", text, *(w for part in parts for w in ("--set", part)))),
    )


def _is_path(text: str) -> bool:
    return text.endswith(SUFFIX) or os.sep in text or (text != "" and os.path.lexists(text))


def _word(value: Any) -> str:
    """A parameter as `read_settings` reads it again."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def config_facts(config: AcceleratorConfig) -> dict[str, Any]:
    """What a report says of a configuration beside its name, so that its figures can be had
    again.
    """
    return {"contract_hash": contract_hash(config), "parameters": config.to_dict()}
