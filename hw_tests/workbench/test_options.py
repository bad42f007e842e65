# SPDX-License-Identifier: Apache-2.0
"""Every option is declared once, and what a help text offers to choose from is what there is."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import workbench
from boards.device import DEVICES as PARTS
from meadow.compiler.packing.packing import CODECS
from meadow.spec.checks import check_choice, check_least
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.streams import CODEC_NAMES
from workbench.bench.model import DATAFLOWS, PHASES
from workbench.cli import app
from workbench.devices import DEVICES, Throttle
from workbench.options import UNTHROTTLED, choices, seed_option, takes_throttle
from workbench.packing.grids import GRIDS

SOURCES = sorted(Path(workbench.__file__).parent.rglob("*.py"))


def help_texts() -> list[str]:
    """The expressions of all help texts in the sources, as Python would write them."""
    return [
        ast.unparse(keyword.value)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "help" and not isinstance(keyword.value, ast.Name)
    ]


def test_no_help_text_stands_twice() -> None:
    counts = Counter(help_texts())
    assert len(counts) > 40
    assert {text: count for text, count in counts.items() if count > 1} == {}


def test_no_help_text_repeats_what_there_is_to_choose_from() -> None:
    lists = (CONFIGURATIONS, DEVICES, CODECS, CODEC_NAMES, PHASES, DATAFLOWS, GRIDS)
    for text in help_texts():
        for names in lists:
            assert sum(name in text for name in names) < 2, text


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_the_help_of_a_command_offers_what_there_is(command: str) -> None:
    output = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    group = typer.main.get_command(app)
    names = {option for parameter in group.commands[command].params for option in parameter.opts}
    assert "--json" in names
    devices = PARTS if command == "resources" else DEVICES
    for option, offered in (("--config", CONFIGURATIONS), ("--device", devices)):
        assert (choices(offered) in output) == (option in names)


def test_choices_are_joined_in_words() -> None:
    assert choices(["tiny", "small", "zcu102"]) == "tiny, small or zcu102"
    assert choices(["one", "two"]) == "one or two" and choices(["one"]) == "one"


def test_checks_name_the_rule_and_the_value() -> None:
    check_choice("codec", "raw", ("raw", "rice"))
    with pytest.raises(ValueError, match="^codec must be one of raw, rice, not 'zip'$"):
        check_choice("codec", "zip", ("raw", "rice"))
    for value in (None, 1, 2.5):
        check_least("count", value, 1)
    for value in (0, float("nan")):
        with pytest.raises(ValueError, match=f"^count must be at least 1, not {value}$"):
            check_least("count", value, 1)


def test_a_command_that_takes_a_throttle_has_its_options_and_its_seed() -> None:
    seen: list[tuple[int, Throttle]] = []
    small = typer.Typer()

    @small.command()
    @takes_throttle
    def command(
        number: int, throttle: Throttle = UNTHROTTLED, seed: Annotated[int, seed_option("it")] = 0
    ) -> None:
        """What it does."""
        seen.append((number, throttle))

    line = "3 --bandwidth-gbps 2 --clock-mhz 100 --stalls 0.5 --latency-cycles 7 --seed 9"
    for arguments in (["4"], line.split()):
        result = CliRunner().invoke(small, arguments)
        assert result.exit_code == 0, result.output
    limited = Throttle(bandwidth_gbps=2, clock_mhz=100, stalls=0.5, latency_cycles=7, seed=9)
    assert seen == [(4, UNTHROTTLED), (3, limited)]
    told = CliRunner().invoke(small, ["--help"]).output
    assert "What it does." in told and "throttle" not in told.lower().replace("unthrottled", "")
