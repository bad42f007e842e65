# SPDX-License-Identifier: Apache-2.0
"""`meadow corrupt`: every spoiled stream is reported by the chip, and the campaign tells if one is
not.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest

import workbench.campaigns.corruption
from firmware.device import DeviceError, DeviceTimeout
from firmware.session import Session
from hw_tests.seeds import salted
from hw_tests.workbench.commands import meadow
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.registers import ErrorCode
from meadow.spec.streams import CODEC_NAMES
from workbench.campaigns.corruption import campaign
from workbench.campaigns.stream_faults import Fault, draw_fault, weight_streams

KEYS = {
    *(
        "codec",
        "config",
        "contract_hash",
        "parameters",
        "seed",
        "runs",
        "flips",
        "truncations",
        "reported",
        "hangs",
    ),
    *("silent_errors", "other_errors", "wrong_results", "recoveries", "cycles", "first_failure"),
    "label",
}


run = partial(meadow, "corrupt")


def every_fault_is_reported(report: dict[str, Any], runs: int) -> None:
    assert set(report) == KEYS
    assert report["first_failure"] is None
    assert report["runs"] == report["reported"] == report["recoveries"] == runs
    assert report["flips"] + report["truncations"] == runs
    assert report["flips"] > runs / 3 and report["truncations"] > 0
    for failure in ("hangs", "silent_errors", "other_errors", "wrong_results"):
        assert report[failure] == 0


@pytest.mark.sim
@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_the_chip_reports_every_fault(codec: str) -> None:
    values = json.loads(run("--codec", codec, "--runs", 45, "--seed", salted(5), "--json").stdout)
    every_fault_is_reported(values, 45)
    assert values["codec"] == codec and values["label"] == "simulated"
    assert values["cycles"] > 45 * 1000


@pytest.mark.sim
def test_lanes_are_reset_when_the_ports_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found when the end of the last stream is wrong: results are on their way, and no read keeps
    the flush waiting.
    """

    def end_of_last(random: np.random.Generator, image: Image, streams: Any) -> Fault:
        last = streams[-1]
        return Fault(last, "flip", (8 * BEAT_BYTES * (last.beats - int(random.integers(1, 40))),))

    monkeypatch.setattr(workbench.campaigns.corruption, "draw_fault", end_of_last)
    report = campaign("raw", 8, salted(1))
    assert report["first_failure"] is None and report["recoveries"] == 8


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_the_golden_machine_reports_every_fault(codec: str) -> None:
    values = json.loads(run("--codec", codec, "--runs", 60, "--device", "golden", "--json").stdout)
    every_fault_is_reported(values, 60)
    assert values["cycles"] == 0 and values["label"] == "golden model, without time"


def test_the_same_seed_gives_the_same_report() -> None:
    first, again = (campaign("raw", 45, salted(7), device="golden") for _ in range(2))
    assert first == again


def small_image(codec: str) -> Image:
    model = synthetic_model(
        workbench.campaigns.corruption.draw_model(np.random.default_rng(salted(3))), seed=salted(1)
    )
    return compile_image(
        model, named_config("tiny"), config_name="tiny", codec=codec, tokenizer_json="{}"
    )


@pytest.mark.parametrize("codec", CODEC_NAMES)
def test_a_fault_changes_its_stream_and_nothing_else(codec: str) -> None:
    image, random = small_image(codec), np.random.default_rng(salted(4))
    streams = weight_streams(image, codec)
    drawn = [draw_fault(np.random.default_rng(salted(seed)), image, streams) for seed in (4, 4, 5)]
    assert drawn[0] == drawn[1] != drawn[2]
    program = image.manifest.regions["program"]
    kinds = set()
    for _ in range(200):
        fault = draw_fault(random, image, streams)
        memory = image.dram.copy()
        fault.plant(image, memory)
        changed = np.flatnonzero(memory != image.dram) // BEAT_BYTES
        first, end = fault.stream.offset, fault.stream.offset + fault.stream.beats
        if fault.kind == "cut":
            first, end = program.offset, program.offset + program.beats
        assert len(changed) and first <= changed.min() and changed.max() < end
        kinds.add((fault.kind, len(fault.places)))
    assert kinds == {("flip", 1), ("flip", 2), ("flip", 3), ("cut", 1), ("zero", 1)}


def campaign_ends_with(key: str, runs: int = 3) -> None:
    report = campaign("raw", runs, 0, device="golden")
    assert report[key] == runs and key in report["first_failure"]
    result = run("--codec", "raw", "--runs", runs, "--device", "golden", code=1)
    assert result.stderr.splitlines()[-1].startswith("meadow: run 1: ")


def test_what_is_not_reported_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(random: np.random.Generator, image: Image, streams: Any) -> Fault:
        return Fault(streams[0], "flip", ())

    monkeypatch.setattr(workbench.campaigns.corruption, "draw_fault", nothing)
    campaign_ends_with("silent_errors")


def test_an_output_beside_the_error_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Session.step

    def publish(self: Session, *arguments: Any, **options: Any) -> Any:
        try:
            return step(self, *arguments, **options)
        except DeviceError:
            self.device.memory[self.manifest.regions["logits"].offset * BEAT_BYTES] += 1
            raise

    monkeypatch.setattr(Session, "step", publish)
    campaign_ends_with("silent_errors")


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (DeviceTimeout("no interrupt"), "hangs"),
        (DeviceError(code=ErrorCode.WINDOW, command=1, address=0, port=0), "other_errors"),
    ],
)
def test_hangs_and_other_errors_are_counted(
    error: Exception, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Session.step

    def fail(self: Session, *arguments: Any, **options: Any) -> Any:
        try:
            return step(self, *arguments, **options)
        except DeviceError:
            raise error from None

    monkeypatch.setattr(Session, "step", fail)
    campaign_ends_with(key)


def test_a_wrong_step_after_a_fault_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = workbench.campaigns.corruption.BitTrueModel.forward
    monkeypatch.setattr(
        workbench.campaigns.corruption.BitTrueModel, "forward", lambda *given: forward(*given) + 1
    )
    campaign_ends_with("wrong_results")
