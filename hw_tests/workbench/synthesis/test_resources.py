# SPDX-License-Identifier: Apache-2.0
"""`meadow resources` counts every block of a configuration beside its device."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from boards.device import DEVICES
from boards.synthesis.chip_blocks import PLACES, TOP
from boards.synthesis.counts import KINDS
from meadow.spec.config import named_config
from workbench.cli import app


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
