# SPDX-License-Identifier: Apache-2.0
"""Devices with a timeline: it names commands and units; one that cannot be written is refused
before the work begins.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware.session import Session
from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import named_config
from rtl_gen.interfaces.activity import activity_units
from workbench.cli import app
from workbench.devices import Throttle, open_device


def _never(*arguments: object, **options: object) -> None:
    raise AssertionError("the work has begun")


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.bench.command.bench", _never)
    monkeypatch.setattr("workbench.run.command.find_model", _never)


@pytest.mark.parametrize("command", [["bench", "opt-125m"], ["run"]], ids=["bench", "run"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere/t.json", "No such file or directory"),
        (".", "Is a directory"),
        ("/dev/null", "Not a regular file"),
        ("a-file/t.json", "Not a directory"),
    ],
)
def test_a_timeline_that_cannot_be_written_is_one_line(
    path: str, reason: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    result = CliRunner().invoke(app, [*command, "--trace", path])
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert f"cannot write the timeline: {reason}" in result.stderr and path in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["a-file"]


def test_a_device_without_time_has_no_timeline(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    result = CliRunner().invoke(app, ["run", "--device", "golden", "--trace", str(path)])
    assert result.exit_code == 2 and result.stdout == "" and not path.exists()
    assert result.stderr == (
        "meadow: only device sim has a timeline, not 'golden': leave --trace out\n"
    )


@pytest.mark.sim
def test_a_device_with_a_timeline_names_commands_and_units(tmp_path: Path) -> None:
    config = named_config("tiny")
    image = compile_image(
        synthetic_model(family_description("opt"), seed=salted(1)),
        config,
        config_name="tiny",
        codec="raw",
        tokenizer_json="{}",
    )
    path, labels = tmp_path / "t.json", image.manifest.labels
    window = Session.window_bytes(image)
    with open_device(
        "sim", config, window, Throttle(clock_mhz=125), print, timeline=path, labels=labels
    ) as device:
        Session(device, image).step({0: [3, 4, 5]})
    document = json.loads(path.read_text())
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    named = {event["name"] for event in events if "command" in event["args"]}
    assert named <= set(labels) and len(named) > 20
    assert document["metadata"]["clock_mhz"] == 125
    threads = {e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"}
    assert {unit.name for unit in activity_units(config)} <= threads
