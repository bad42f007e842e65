# SPDX-License-Identifier: Apache-2.0
"""`meadow config`: lists, explains, shows and writes configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.device import DEVICES
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from workbench.cli import app
from workbench.configurations.fields import FIELDS
from workbench.configurations.figures import FIGURES, derived


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["config", *arguments], env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output
    if code:
        assert result.stdout == "" and result.stderr.count("\n") == 1
        return result.stderr
    return result.stdout


def test_all_are_listed_and_every_parameter_is_explained() -> None:
    text = run()
    assert all(name in text for name in CONFIGURATIONS) and "2,097,152" in text
    for name, field in FIELDS.items():
        assert f"\n{name}: {field.meaning}\n" in text
        for line in (field.rule, field.seen, field.buys, field.takes):
            assert line in text
    assert "register config_width (0x040)" in text and "12 if left out" in text
    found = json.loads(run("--json"))
    assert [entry["config"] for entry in found["configurations"]] == list(CONFIGURATIONS)
    assert set(found["fields"]) == set(FIELDS) and set(found["figures"]) == set(FIGURES)
    assert found["fields"]["width"]["default"] is None
    assert found["fields"]["norm_lanes"]["register"] == 0x88


def test_one_is_shown_with_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("base = 'kv260'\nlanes = 4\n")
    for arguments in (["kv260", "--set", "lanes=4"], [str(path)]):
        found = json.loads(run(*arguments, "--json"))
        config = type(CONFIGURATIONS["tiny"]).from_dict(found["parameters"])
        assert config.lanes == 4 and config.width == 32
        assert found["contract_hash"] == contract_hash(config)
        assert found["figures"] == derived(config)
        assert (found["base"], found["device"]) == ("kv260", "xck26")
        text = run(*arguments)
        assert found["config"] in text and "macs_per_cycle" in text and found["device"] in text
    path.write_text(run("tiny", "--toml").replace('base = "tiny"', ""))
    assert json.loads(run(str(path), "--json"))["device"] == next(iter(DEVICES))
    assert "starts from no other" in run(str(path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["huge"], "meadow: unknown configuration 'huge': choose from tiny"),
        (["none.toml"], "meadow: configuration none.toml: No such file"),
        (["tiny", "--toml", "--json"], "meadow: config takes --toml or --json, not both"),
        (["--toml"], "meadow: config needs a NAME or FILE with --set and --toml"),
        (["--set", "lanes=1"], "meadow: config needs a NAME or FILE with --set and --toml"),
        (["tiny", "--set", "lanes=3"], "meadow: configuration tiny with lanes=3: lanes must be a "),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], message: str) -> None:
    assert run(*arguments, code=2).startswith(message)
