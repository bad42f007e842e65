# SPDX-License-Identifier: Apache-2.0
"""A configuration as a file that can be edited and read back."""

from __future__ import annotations

import json

from meadow.spec.config import Parameter
from workbench.configurations.chosen import ChosenConfig
from workbench.configurations.fields import FIELDS
from workbench.configurations.settings import TABLE

__all__ = ["config_toml"]


def config_toml(chosen: ChosenConfig) -> str:
    """TOML with every parameter, each below what it means and must be.

    The base stays named, so that whoever reads the file knows what it is made for.
    """
    lines = [f"# {chosen.name}; `meadow config` says what each parameter buys and takes"]
    if chosen.base is not None:
        lines += [
            "# what is taken out below is as in the base, whose device counts the resources",
            f"base = {_value(chosen.base)}",
        ]
    lines += ["", f"[{TABLE}]"]
    for name, value in chosen.config.to_dict().items():
        field = FIELDS[name]
        lines += [f"# {field.meaning} ({field.unit})", f"#   {field.rule}"]
        lines += [f"{name} = {_value(value)}", ""]
    return "\n".join(lines)


def _value(value: Parameter | str) -> str:
    """JSON and TOML write numbers, truth values, names and lists of names in the same way."""
    return json.dumps(value)
