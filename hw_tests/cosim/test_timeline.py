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
from cosim.timeline import TIMELINE_EVENT, Track, write_timeline
from firmware.session import Session
from hw_tests.cosim.timeline_bench import raw_image
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.model.image import Image
from meadow.spec.commands import Opcode, Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from rtl_gen.interfaces.activity import activity_units
from rtl_gen.interfaces.command import NO_COMMAND

_VECTOR = (Opcode.NORM, Opcode.VECTOR, Opcode.SOFTMAX)


def _image(config: str) -> Image:
    return raw_image(opt_description(layers=1, hidden=80), config)


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
    """Events by thread name, in the order of the threads."""
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
    units = activity_units(named_config(config))
    waits = [f"array waits: {what}" for what in ("tile", "operand", "drain", "softmax")]
    assert [name for name in events if name not in waits] == [unit.name for unit in units]
    position = list(events).index("array")
    assert list(events)[position + 1 : position + 5] == waits
    totals: dict[str, int] = defaultdict(int)
    for unit in units:
        for event in events[unit.name]:
            happened = {unit.items[0]: event["args"]["active"], **event["args"]}
            for item in unit.items:
                totals[item] += happened.get(item, 0)
    counted = set(totals) & set(counters)
    assert {"array_busy", "stall_tile", "stall_decoder", "vector_busy", "stall_vector"} <= counted
    for name in counted:
        assert totals[name] == counters[name], name
    assert totals["sequencer_busy"] == counters["cycles"]
    assert counters["array_busy"] > 0 and counters["stall_tile"] > counters["stall_decoder"] > 0
    beats = sum(total for name, total in totals.items() if name.startswith("port"))
    assert BEAT_BYTES * beats == sum(n for k, n in counters.items() if k.startswith("bytes_"))
    for name in waits:
        active = sum(event["args"]["active"] for event in events[name])
        assert active == sum(event["dur"] for event in events[name])
        assert active == counters[name.replace("array waits: ", "stall_")]
    assert totals["drain_busy"] > totals["score_drain"] > 0 and totals["storer_busy"] > 0


@pytest.mark.sim
def test_events_carry_the_labels_of_the_image(tmp_path: Path) -> None:
    image = _image("tiny")
    document, counters = _run(image, tmp_path / "run.json", clock_mhz=250.0)
    events = _events(document)
    labels = image.manifest.labels
    for name, some in events.items():
        of_commands = [event for event in some if "command" in event["args"]]
        assert len(of_commands) > 0, name
        for event in of_commands:
            assert event["name"] == labels[event["args"]["command"]], name
        others = {event["name"] for event in some if "command" not in event["args"]}
        assert others == {"sequencer": {"all handed over"}, "port0_read": {"commands"}}.get(
            name, set()
        )
    assert {event["name"] for event in events["vector"]} == {
        label for index, label in enumerate(labels) if _opcode(image, index) in _VECTOR
    }
    assert document["metadata"]["clock_mhz"] == 250.0
    first = events["array"][0]
    assert first["dur"] == pytest.approx(first["args"]["cycles"] / 250)
    end = max(event["ts"] + event["dur"] for some in events.values() for event in some)
    assert end >= counters["cycles"] / 250


@pytest.mark.sim
def test_merged_gaps_make_a_small_file_and_lose_no_cycle(tmp_path: Path) -> None:
    image = _image("tiny")
    every, counters = _run(image, tmp_path / "every.json", timeline_gap_cycles=0)
    merged, _ = _run(image, tmp_path / "merged.json", timeline_gap_cycles=100_000)
    sizes = [(tmp_path / name).stat().st_size for name in ("merged.json", "every.json")]
    assert sizes[0] < sizes[1] / 4
    for name, some in _events(merged).items():
        work = [
            (event["name"], event["args"]["active"])
            for events in (_events(every)[name], some)
            for event in events
        ]
        whole = len(_events(every)[name])
        assert _sums(work[:whole]) == _sums(work[whole:]), name
        for one, after in zip(some, some[1:], strict=False):
            assert after["ts"] >= one["ts"] + one["dur"], name
    # Three programs: the first command of one is not the first of the next, however long a gap may
    # be.
    assert len(_events(merged)["array"]) > 2 * len({e["name"] for e in _events(merged)["array"]})
    assert counters["array_busy"] > 0


def _sums(work: list[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = defaultdict(int)
    for name, active in work:
        sums[name] += active
    return sums


def _opcode(image: Image, index: int) -> Opcode:
    return image.command(index).opcode


def test_the_document_is_sorted_and_names_what_has_no_label(tmp_path: Path) -> None:
    events = np.array(
        [
            (30, 5, (4, 0, 0, 0, 0, 0), 1, 0),
            (10, 2, (2, 0, 0, 0, 0, 0), 0, 0),
            (12, 9, (6, 0, 3, 0, 0, 0), 1, 7),
            (50, 1, (1, 0, 0, 0, 0, 0), 0, NO_COMMAND),
            (60, 1, (1, 0, 0, 0, 0, 0), 1, 0),
        ],
        TIMELINE_EVENT,
    )
    tracks = (Track("first", "sequencer", ("a",)), Track("second", "array", ("b", "c", "d")))
    labels = [(5, ["only"]), (40, ["other"])]
    write_timeline(tmp_path / "t.json", events, tracks, labels=labels)
    shown = [
        (event["name"], event["tid"], event["ts"], event["dur"], event["args"])
        for event in json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        if event["ph"] == "X"
    ]
    assert [event[:4] for event in shown] == [
        ("only", 0, 10, 2),
        ("command 7", 1, 12, 9),
        ("only", 1, 30, 5),
        ("all handed over", 0, 50, 1),
        ("other", 1, 60, 1),
    ]
    assert shown[1][4] == {"start": 12, "cycles": 9, "active": 6, "d": 3, "command": 7}


def test_a_negative_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="timeline_gap_cycles must be at least 0, not -1"):
        CosimDevice(named_config("tiny"), 4096, timeline=Path("t"), timeline_gap_cycles=-1)
