# SPDX-License-Identifier: Apache-2.0
"""One place makes a configuration of a name, a file and settings; every command takes all three."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import workbench.options
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from workbench.cli import app
from workbench.configurations.chosen import ChosenConfig, choose_config, config_facts

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]
WITH_CONFIG = [
    name
    for name, command in COMMANDS.items()
    if any("--config" in parameter.opts for parameter in command.params)
]
MINE = "base = 'nano'\nwidth = 32\n"


def required(name: str) -> list[str]:
    """What a command line needs beside the configuration; nothing of it is there but the board,
    which has a configuration of its own.
    """
    words = []
    for parameter in COMMANDS[name].params:
        if parameter.required:
            option = isinstance(parameter, typer.core.TyperOption)
            value = "zcu102" if parameter.opts[0] == "--board" else "/nowhere/at/all"
            words += [*([parameter.opts[0]] if option else []), value]
    return words


def mine(folder: Path, text: str = MINE, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_name_a_file_and_settings(tmp_path: Path) -> None:
    for name, config in CONFIGURATIONS.items():
        assert choose_config(name) == ChosenConfig(
            name=name, config=config, base=name, arguments=f"--config {name}"
        )
    path = mine(tmp_path)
    of_file = choose_config(path)
    assert (of_file.name, of_file.base) == ("mine", "nano")
    assert of_file.config.width == 32 and of_file.config.lanes == 1
    changed = choose_config(path, ["lanes = 0x2", "codecs=rice,raw", "baseline=true"])
    assert changed.name == "mine+lanes=2+codecs=raw,rice+baseline=true"
    assert changed.config.codecs == ("raw", "rice") and changed.config.baseline
    assert choose_config("tiny", ["lanes=1"]).base == "tiny"
    complete = mine(tmp_path, "\n".join(_lines("tiny")))
    assert choose_config(complete).config == CONFIGURATIONS["tiny"]
    assert choose_config(complete).base is None


def _lines(name: str) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in CONFIGURATIONS[name].to_dict().items()]


def test_the_arguments_ask_for_the_same_again(tmp_path: Path) -> None:
    for given in (["small"], ["small", "lanes=2"], [mine(tmp_path, name="a b.toml"), "codecs=raw"]):
        chosen = choose_config(given[0], given[1:])
        option, text, *rest = shlex.split(chosen.arguments)
        assert option == "--config" and rest[::2] == ["--set"] * (len(rest) // 2)
        assert choose_config(text, rest[1::2]) == chosen


def test_what_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine(tmp_path, name="tiny")  # a name is a name
    assert choose_config("tiny").config == CONFIGURATIONS["tiny"]
    assert choose_config("./tiny").config.width == 32
    mine(tmp_path, name="plain")
    assert choose_config("plain").name == "plain"
    mine(tmp_path, name="my [red] core\n.toml")
    assert choose_config("my [red] core\n.toml").name == "my__red__core_"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", [], "unknown configuration '': choose from tiny, .*"),
        ("huge", ["lanes=1"], "unknown configuration 'huge': choose from tiny, .*"),
        ("none.toml", [], "configuration none.toml: No such file or directory"),
        (".", [], r"configuration \.: it is a folder, not a file"),
        ("tiny", ["lanes=x"], "configuration tiny with lanes=x: lanes must be a positive .* 'x'"),
        (
            "tiny",
            ["lanes=8", "rows=4"],
            "configuration tiny with lanes=8, rows=4: AcceleratorConfig rule "
            r"2 \* lanes \* rows <= width is broken by 2 \* 8 \* 4 with width 16",
        ),
        ("mine.toml", [], "configuration mine.toml: lanes must be a power of two, not 3"),
        ("empty.toml", [], "configuration empty.toml: it must set width, .* too, or a base"),
        ("mine.toml", ["lanes=2", "codecs=zip"], "configuration mine.toml with .* not \\['zip'\\]"),
    ],
)
def test_what_there_is_not_is_named(
    text: str,
    settings: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    mine(tmp_path, "base = 'tiny'\nlanes = 3\n")
    mine(tmp_path, "", "empty.toml")
    with pytest.raises(ValueError, match=f"^{message}$"):
        choose_config(text, settings)


def test_what_a_report_says_of_it() -> None:
    config = choose_config("small", ["lanes=2"]).config
    facts = config_facts(config)
    assert facts["contract_hash"] == contract_hash(config)
    assert type(config).from_dict(json.loads(json.dumps(facts["parameters"]))) == config


def test_the_commands_that_take_a_configuration() -> None:
    assert len(WITH_CONFIG) >= 14
    for name in WITH_CONFIG:
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert "--set" in options, name


@pytest.mark.parametrize("name", WITH_CONFIG)
def test_every_command_takes_a_file_and_settings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is stopped when it has found its configuration, before it looks at all else."""

    def found(text: str, settings: Sequence[str]) -> None:
        chosen = choose_config(text, settings)
        raise ValueError(f"{chosen.name}, {chosen.config.width} wide")

    monkeypatch.setattr(workbench.options, "choose_config", found)
    given = ["--config", mine(tmp_path), "--set", "lanes=2", "--set", "groups=4"]
    result = CliRunner().invoke(app, [name, *required(name), *given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "meadow: mine+lanes=2+groups=4, 32 wide\n"


@pytest.mark.parametrize("name", WITH_CONFIG)
def test_every_command_refuses_a_bad_configuration_first(name: str, tmp_path: Path) -> None:
    path = mine(tmp_path, "base = 'tiny'\nlanes = 16\n")
    for given, message in (
        (["--config", path], f"meadow: configuration {path}: AcceleratorConfig rule 2 * lanes"),
        (["--set", "lanes=128"], "meadow: configuration "),
        (["--set", "lans=1"], "meadow: --set lans=1: unknown parameter 'lans'"),
        (["--config", f"{path}.toml"], f"meadow: configuration {path}.toml: No such file"),
    ):
        result = CliRunner().invoke(app, [name, *required(name), *given])
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert result.stderr.startswith(message) and result.stderr.count("\n") == 1
