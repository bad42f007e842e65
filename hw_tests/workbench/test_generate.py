# SPDX-License-Identifier: Apache-2.0
"""`meadow generate`: Verilog and manifest of the generated chip."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import register_map
from workbench.cli import app


@pytest.mark.sim
@pytest.mark.parametrize("config", ["tiny", "small"])
def test_the_manifest_describes_the_verilog(config: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = CliRunner().invoke(app, ["generate", "--config", config, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "meadow.v"]
    verilog = (out / "meadow.v").read_text()
    manifest = json.loads((out / "manifest.json").read_text())
    chosen = CONFIGURATIONS[config]
    assert manifest["configuration"] == config
    assert manifest["parameters"] == chosen.to_dict()
    assert manifest["contract_hash"] == contract_hash(chosen)
    assert manifest["verilog_sha256"] == hashlib.sha256(verilog.encode()).hexdigest()
    assert len(manifest["registers"]) == len(register_map(chosen))
    header = re.search(rf"module {manifest['top']}\(([^)]*)\)", verilog)
    assert header is not None
    assert {port["name"] for port in manifest["ports"]} == set(re.findall(r"\w+", header[1]))


def test_an_unknown_configuration_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["generate", "--config", "huge", "--out", str(out)])
    assert result.exit_code == 2
    assert result.stderr == (
        "meadow: unknown configuration 'huge': choose from tiny, small, zcu102\n"
    )
    assert not out.exists()
