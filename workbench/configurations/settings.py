# SPDX-License-Identifier: Apache-2.0
"""Parameters of a configuration as a user writes them: in a file of TOML, or as KEY=VALUE."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig

__all__ = ["PARAMETERS", "TABLE", "ConfigFile", "built", "read_config_file", "read_settings"]

PARAMETERS = tuple(field.name for field in dataclasses.fields(AcceleratorConfig))
"""Names of the parameters in their order."""

TABLE = "accelerator"
"""The table of a file that the parameters may stand in."""

_BASE = "base"
_REQUIRED = tuple(
    field.name
    for field in dataclasses.fields(AcceleratorConfig)
    if field.default is dataclasses.MISSING
)
_MOST_BYTES = 1 << 16
"""A file of all parameters, explained, has a tenth of it."""


@dataclasses.dataclass(frozen=True)
class ConfigFile:
    """base: the named configuration that all else is taken from, None if the file names none;
    values: the parameters that it sets.
    """

    base: str | None
    values: Mapping[str, Any]


def read_config_file(path: Path) -> ConfigFile:
    """What the file says; ValueError, with its name, unless it is TOML with parameters only."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except IsADirectoryError:
        raise ValueError(f"configuration {path}: it is a folder, not a file") from None
    except OSError as error:
        raise ValueError(f"configuration {path}: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise ValueError(f"configuration {path}: it must have at most {_MOST_BYTES} bytes")
    try:
        content = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # of the text, of the decoding, of huge numbers
        raise ValueError(f"configuration {path}: it is not TOML: {error}") from None
    return _parsed(content, f"configuration {path}")


def _parsed(content: Mapping[str, Any], place: str) -> ConfigFile:
    values = dict(content)
    if TABLE in values:
        table = values.pop(TABLE)
        if not isinstance(table, dict):
            raise ValueError(f"{place}: {TABLE} must be a table, not {table!r:.60}")
        for name in values:
            if name != _BASE or name in table:
                raise ValueError(f"{place}: {name} must stand in the table [{TABLE}], once")
        values |= table
    base = values.pop(_BASE, None)
    if base is not None and (not isinstance(base, str) or base not in CONFIGURATIONS):
        names = ", ".join(CONFIGURATIONS)
        raise ValueError(f"{place}: base must be one of {names}, not {base!r:.60}")
    for name in values:
        _check_name(name, place)
    return ConfigFile(base, values)


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parameter -> value of texts KEY=VALUE, the value as TOML or, of words, without its quotes;
    ValueError for one that is none.
    """
    found: dict[str, Any] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name or not value.strip():
            raise ValueError(f"--set must be given KEY=VALUE, not {text!r:.60}")
        _check_name(name, f"--set {text:.60}")
        if name in found:
            raise ValueError(f"--set {text:.60}: {name} must be set once")
        found[name] = _value(name, value.strip())
    return found


def _value(name: str, text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        parsed = {}
    value = parsed["value"] if parsed.keys() == {"value"} else text
    if name == "codecs" and isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value


def _check_name(name: str, place: str) -> None:
    if name in PARAMETERS:
        return
    near = difflib.get_close_matches(name, PARAMETERS, 1)
    choice = f"{near[0]} is meant?" if near else f"choose from {', '.join(PARAMETERS)}"
    raise ValueError(f"{place}: unknown parameter {name!r:.60}: {choice}")


def built(base: AcceleratorConfig | None, values: Mapping[str, Any]) -> AcceleratorConfig:
    """The configuration of these parameters, all others those of `base`; ValueError names the rule
    and the value.

    A base whose norm takes whole words does so at another width too, unless `norm_lanes` is set.
    """
    if base is None:
        missing = [name for name in _REQUIRED if name not in values]
        if missing:
            raise ValueError(f"it must set {', '.join(missing)} too, or a {_BASE}")
        return AcceleratorConfig.from_dict(values)
    taken = base.to_dict()
    if base.norm_turns == 1:
        taken["norm_lanes"] = 0
    return AcceleratorConfig.from_dict({**taken, **values})
