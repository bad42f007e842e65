# SPDX-License-Identifier: Apache-2.0
"""A run's timeline: totals equal to the counters, well-formed, small when gaps are merged."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosim.device import CosimDevice
from cosim.library import DramSettings
from cosim.timeline import COMMAND_ITEM, TIMELINE_EVENT, write_timeline
from firmware.session import Session
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.image import Image
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from rtl_gen.control.activity import activity_items


def _image(config: str) -> Image:
    description = opt_description(
        layers=1, width=48, heads=3, head_dim=16, hidden=80, vocabulary=70, max_positions=64
    )
    return compile_image(
        synthetic_model(description, seed=salted(5)),
        named_config(config),
        config_name=config,
        codec="raw",
        tokenizer_json="{}",
    )


def _run(image: Image, path: Path, **options: Any) -> tuple[dict[str, Any], dict[str, int]]:
    """The document of a prefill and two decoded tokens, and the sum of their counters."""
    totals: dict[str, int] = defaultdict(int)
    with CosimDevice(
        image.manifest.config,
        Session.window_bytes(image),
        settings=DramSettings(rate=(7, 1), stalls=30, seed=salted(2)),
        timeline=path,
        **options,
    ) as device:
        device.label_commands(image.manifest.labels)
        session = Session(device, image)
        for tokens in ([3] * 19, [1], [4]):
            result = session.step({0: tokens}, outputs=Outputs.ARGMAX)
            for name, value in result.counters.items():
                totals[name] += value
    return json.loads(path.read_text()), totals


def _events(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Events by thread name."""
    threads = {
        event["tid"]: event["args"]["name"]
        for event in document["traceEvents"]
        if event["name"] == "thread_name"
    }
    events: dict[str, list[dict[str, Any]]] = {name: [] for name in threads.values()}
    for event in document["traceEvents"]:
        if event["ph"] == "X":
            events[threads[event["tid"]]].append(event)
    return events


@pytest.mark.sim
@pytest.mark.parametrize("config", ["tiny", "small"])
def test_without_merging_the_totals_are_the_counters(config: str, tmp_path: Path) -> None:
    image = _image(config)
    document, counters = _run(image, tmp_path / "run.json", timeline_gap_cycles=0)
    events = _events(document)
    items = activity_items(named_config(config))
    assert list(events) == ["command", *items]
    active = {name: sum(e["args"]["active"] for e in some) for name, some in events.items()}
    for name, some in events.items():
        assert active[name] == sum(event["dur"] for event in some), name
        assert all(event["name"] == name for event in some) or name == "command"
    counted = [name for name in items if name in counters]
    assert {"array_busy", "stall_tile", "stall_decoder", "vector_busy"} <= set(counted)
    for name in counted:
        assert active[name] == counters[name], name
    assert counters["array_busy"] > 0 and counters["stall_tile"] > counters["stall_decoder"] > 0
    beats = sum(active[name] for name in items if name.startswith("port"))
    assert BEAT_BYTES * beats == sum(n for k, n in counters.items() if k.startswith("bytes_"))
    assert active["score_drain"] > 0 and active["storer_busy"] > 0


@pytest.mark.sim
def test_commands_carry_the_labels_of_the_image(tmp_path: Path) -> None:
    image = _image("tiny")
    document, counters = _run(image, tmp_path / "run.json", clock_mhz=250.0)
    commands = _events(document)["command"]
    labels = image.manifest.labels
    names = [event["name"] for event in commands]
    assert names == [labels[event["args"]["command"]] for event in commands]
    assert names.count(labels[2]) <= 3 and {labels[0], labels[3]} <= set(names)
    assert document["metadata"]["clock_mhz"] == 250.0
    assert commands[0]["dur"] == pytest.approx(commands[0]["args"]["cycles"] / 250)
    end = max(event["ts"] + event["dur"] for event in commands)
    assert end >= counters["cycles"] / 250


@pytest.mark.sim
def test_merged_gaps_make_a_small_file_and_lose_no_cycle(tmp_path: Path) -> None:
    image = _image("tiny")
    every, counters = _run(image, tmp_path / "every.json", timeline_gap_cycles=0)
    merged, _ = _run(image, tmp_path / "merged.json", timeline_gap_cycles=64)
    sizes = [(tmp_path / name).stat().st_size for name in ("merged.json", "every.json")]
    assert sizes[0] < sizes[1] / 4
    for name, some in _events(merged).items():
        assert sum(e["args"]["active"] for e in some) == sum(
            e["args"]["active"] for e in _events(every)[name]
        ), name
        for one, after in zip(some, some[1:], strict=False):
            assert after["ts"] - one["ts"] - one["dur"] > (0 if name != "command" else -1)
    assert counters["array_busy"] > 0


def test_the_document_is_sorted_and_names_what_has_no_label(tmp_path: Path) -> None:
    events = np.array(
        [(30, 5, 4, 1, 0), (10, 2, 2, 0, 0), (12, 9, 9, COMMAND_ITEM, 7)], TIMELINE_EVENT
    )
    write_timeline(tmp_path / "t.json", events, ("first", "second"), labels=[(0, ["only"])])
    shown = [
        (event["name"], event["tid"], event["ts"], event["dur"])
        for event in json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        if event["ph"] == "X"
    ]
    assert shown == [("first", 1, 10, 2), ("command 7", 0, 12, 9), ("second", 2, 30, 5)]


def test_a_negative_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="timeline_gap_cycles must be at least 0, not -1"):
        CosimDevice(named_config("tiny"), 4096, timeline=Path("t"), timeline_gap_cycles=-1)
