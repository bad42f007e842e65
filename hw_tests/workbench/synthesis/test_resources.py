# SPDX-License-Identifier: Apache-2.0
"""`meadow resources` counts every block of a configuration beside its device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boards.device import DEVICES
from boards.synthesis.chip_blocks import PLACES, TOP
from boards.synthesis.counts import KINDS
from meadow.spec.config import named_config
from workbench.cli import app
from workbench.synthesis import resources


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["resources", *arguments])
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--device", "xc7"), "meadow: unknown device 'xc7': choose from xczu9eg, xck26"),
        (("--config", "huge"), "meadow: unknown configuration 'huge': choose from tiny"),
        (("--jobs", "0"), "meadow: jobs must be at least 1"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: tuple[str, ...], line: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(line) and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("text", "arguments", "device", "why"),
    [
        ("base = 'kv260'\nlanes = 4\n", (), "xck26", "what kv260 is made for"),
        ("base = 'kv260'\n", ("--device", "xczu9eg"), "xczu9eg", "what --device asks for"),
        (
            "base = 'tiny'\n",
            ("--set", "lanes=1"),
            "xczu9eg",
            "the default: mine+lanes=1 is made for no device, and --device names another",
        ),
    ],
)
def test_the_device_of_a_configuration_is_said(
    text: str,
    arguments: tuple[str, ...],
    device: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "netlists", lambda *_, **__: {})
    (tmp_path / "mine.toml").write_text(text)
    given = ("--config", str(tmp_path / "mine.toml"), *arguments)
    code, out, err = run(*given, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert (report["device"]["name"], report["device"]["why"]) == (device, why)
    assert report["configuration"].startswith("mine") and "lanes" in report["parameters"]
    assert f"{device} is {why}" in " ".join(run(*given)[1].split())


@pytest.mark.slow
@pytest.mark.long
def test_tiny_is_counted_block_by_block() -> None:
    config = named_config("tiny")
    code, out, err = run("--config", "tiny", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["label"].startswith("synthesised")
    blocks = {block["name"]: block for block in report["blocks"]}
    assert set(blocks) == {*PLACES, "lane", TOP}
    assert blocks["lane"]["copies"] == config.lanes
    # Two multiplications share a DSP; the requantisers have their own.
    assert blocks["lane"]["dsp"] >= config.rows * config.width // 2
    for kind in KINDS:
        total = sum(block[kind] * block["copies"] for block in blocks.values())
        assert report["total"][kind] == total
    assert blocks["lane"]["ff_absorbed"] < blocks["lane"]["ff_raw"]
    assert blocks["lane"]["lut_absorbed"] < blocks["lane"]["lut_raw"]
    device = report["device"]
    assert device["limits"] == DEVICES["xczu9eg"].limits and device["fits"]
    assert device["shares_percent"]["dsp"] == round(100 * report["total"]["dsp"] / 2520, 1)
    table = run("--config", "tiny")[1]
    assert "lane" in table and "xczu9eg: fits; synthesised" in table
