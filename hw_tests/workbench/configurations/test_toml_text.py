# SPDX-License-Identifier: Apache-2.0
"""A configuration that is written as a file and read back is the same."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from meadow.spec.config import CONFIGURATIONS
from workbench.configurations.chosen import choose_config
from workbench.configurations.settings import PARAMETERS
from workbench.configurations.toml_text import config_toml


@pytest.mark.parametrize("settings", [[], ["codecs=raw", "baseline=false", "sequences=3"]])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_is_written_is_read_back(name: str, settings: list[str], tmp_path: Path) -> None:
    chosen = choose_config(name, settings)
    path = tmp_path / "back.toml"
    path.write_text(config_toml(chosen), "utf-8")
    again = choose_config(str(path))
    assert (again.config, again.base, again.name) == (chosen.config, name, "back")
    assert config_toml(again).splitlines()[1:] == path.read_text("utf-8").splitlines()[1:]
    written = tomllib.loads(path.read_text("utf-8"))
    assert written["base"] == name and tuple(written["accelerator"]) == PARAMETERS


def test_a_file_without_a_base_stays_without(tmp_path: Path) -> None:
    complete = tomllib.loads(config_toml(choose_config("tiny")))["accelerator"]
    text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in complete.items())
    (tmp_path / "own.toml").write_text(text)
    own = choose_config(str(tmp_path / "own.toml"))
    assert own.base is None and "base" not in tomllib.loads(config_toml(own))
