# SPDX-License-Identifier: Apache-2.0
"""`meadow config`: what configurations there are, what a parameter means, and what follows from one
configuration.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from boards.device import device_of
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import register_map
from workbench.configurations.chosen import SUFFIX, ChosenConfig, choose_config, config_facts
from workbench.configurations.fields import FIELDS, default_of
from workbench.configurations.figures import FIGURES, derived
from workbench.configurations.toml_text import config_toml
from workbench.console import print_json, say, show
from workbench.options import JsonOption, SetOption

__all__ = ["config_command"]

_LISTED = ("macs_per_cycle", "chunk_tokens", "activation_memory_bytes", "dram_bytes_per_cycle")


def config_command(
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help=f"A built-in configuration or FILE{SUFFIX}; a list of all, and what each "
            "parameter means, if left out.",
        ),
    ] = None,
    settings: SetOption = None,
    toml: Annotated[
        bool,
        typer.Option("--toml", help="Write it as a complete file, to be edited and read back."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Explain configurations and their parameters, or show one with what follows from it.

    Figures follow from the parameters by arithmetic; meadow resources and meadow timing synthesise.
    """
    if toml and as_json:
        raise ValueError("config takes --toml or --json, not both")
    if which is None:
        if settings or toml:
            raise ValueError("config needs a NAME or FILE with --set and --toml")
        _all(as_json)
        return
    chosen = choose_config(which, settings or ())
    if toml:
        say(config_toml(chosen), nl=False)
    elif as_json:
        print_json(_report(chosen))
    else:
        _one(chosen)


def _report(chosen: ChosenConfig) -> dict[str, Any]:
    return {
        "config": chosen.name,
        "base": chosen.base,
        "device": device_of(chosen.base).name,
        **config_facts(chosen.config),
        "figures": derived(chosen.config),
    }


def _fields() -> dict[str, Any]:
    registers = {entry.name: entry.offset for entry in register_map(CONFIGURATIONS["tiny"])}
    return {
        name: asdict(field) | {"default": default_of(name), "register": registers[f"config_{name}"]}
        for name, field in FIELDS.items()
    }


def _all(as_json: bool) -> None:
    reports = [_report(choose_config(name)) for name in CONFIGURATIONS]
    fields = _fields()
    if as_json:
        meanings = {name: figure.meaning for name, figure in FIGURES.items()}
        print_json({"configurations": reports, "fields": fields, "figures": meanings})
        return
    table = Table("configuration", *(name.replace("_", " ") for name in _LISTED), "codecs")
    for report in reports:
        figures = (f"{report['figures'][name]:,}" for name in _LISTED)
        table.add_row(report["config"], *figures, ", ".join(report["parameters"]["codecs"]))
    show(table)
    for name, field in fields.items():
        default = field["default"]
        given = "must be given" if default is None else f"{_text(default)} if left out"
        say(f"\n{name}: {field['meaning']}")
        say(f"  unit    {field['unit']}; {given}")
        say(f"  rule    {field['rule']}")
        say(f"  seen    {field['seen']}; register config_{name} (0x{field['register']:03x})")
        say(f"  buys    {field['buys']}")
        figures = f"; changes {', '.join(field['figures'])}" if field["figures"] else ""
        say(f"  takes   {field['takes']}{figures}")
    say(f"\nA file FILE{SUFFIX} of parameters, with a base or complete, goes wherever a name does:")
    say(f"  meadow config tiny --toml > mine{SUFFIX}")
    say(f"  meadow generate --config mine{SUFFIX} --set lanes=1 --out DIR")


def _one(chosen: ChosenConfig) -> None:
    parameters = Table("parameter", "value", "unit", title=chosen.name)
    for name, value in chosen.config.to_dict().items():
        parameters.add_row(name, _text(value), FIELDS[name].unit)
    figures = Table("figure", "value", "meaning", title="by arithmetic")
    for name, value in derived(chosen.config).items():
        figures.add_row(name, f"{value:,}", FIGURES[name].meaning)
    show(parameters, figures)
    report = _report(chosen)
    say(f"starts from {chosen.base or 'no other'}; meadow resources takes {report['device']}")
    say(f"contract {report['contract_hash']}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, list) else str(value)
