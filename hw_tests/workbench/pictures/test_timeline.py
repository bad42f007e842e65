# SPDX-License-Identifier: Apache-2.0
"""A timeline's picture: the stretch asked for, a row per track, the same text every time; the one
in docs is such a one.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from workbench.pictures.timeline import Bar, draw, stretch

ROOT = Path(__file__).parents[3]
_SVG = "{http://www.w3.org/2000/svg}"
_THREADS = ("sequencer", "port0_read", "array", "drain")


def _document() -> dict[str, Any]:
    """Two programs of commands a, b, c, alike but for their time; c is fetched while b runs."""
    trace: list[dict[str, Any]] = [
        {"ph": "M", "tid": tid, "name": "thread_name", "args": {"name": name}}
        for tid, name in enumerate(_THREADS)
    ]
    for base in (0, 1000):
        for thread, command, start, cycles in (
            (0, 0, 10, 10),
            (0, 1, 20, 5),
            (0, 2, 25, 60),
            (1, 0, 12, 5),
            (1, 2, 30, 20),
            (2, 0, 21, 30),
            (2, 1, 51, 30),
            (3, 0, 45, 40),
            (3, 1, 90, 10),
            (2, 2, 120, 50),
        ):
            arguments = {
                "start": base + start,
                "cycles": cycles,
                "active": cycles // 2,
                "command": command,
            }
            trace.append(
                {"ph": "X", "tid": thread, "name": f"layers.0.{'abc'[command]}", "args": arguments}
            )
    return {"traceEvents": trace}


@pytest.mark.parametrize("program", [0, 1])
def test_a_stretch_begins_with_the_hand_over_and_ends_with_the_last_work(program: int) -> None:
    tracks, bars = stretch(_document(), program=program, first="layers.0.a", last="layers.0.b")
    assert tracks == list(_THREADS)
    assert [bar for bar in bars if bar.track == "array"] == [
        Bar("array", "layers.0.a", 1, 30, 15),
        Bar("array", "layers.0.b", 31, 30, 15),
    ]
    assert Bar("port0_read", "layers.0.c", 10, 20, 10) in bars
    assert max(bar.start + bar.cycles for bar in bars) == 80
    assert not any(bar.track == "sequencer" and bar.name.endswith("a") for bar in bars)


def test_tracks_without_a_bar_are_left_out() -> None:
    tracks, bars = stretch(_document(), program=0, first="layers.0.c", last="layers.0.c")
    assert tracks == ["array", "drain"]
    assert [bar.name for bar in bars if bar.track == "array"] == ["layers.0.c"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"program": 2}, r"the timeline has programs 0\.\.1, not 2"),
        ({"program": -1}, r"the timeline has programs 0\.\.1, not -1"),
        ({"first": "x"}, "program 0 of the timeline has no command 'x'"),
        ({"last": "y"}, "program 0 of the timeline has no command 'y'"),
    ],
)
def test_what_is_not_there_is_named(wrong: dict[str, Any], message: str) -> None:
    chosen = {"program": 0, "first": "layers.0.a", "last": "layers.0.b"} | wrong
    with pytest.raises(ValueError, match=message):
        stretch(_document(), **chosen)


def test_the_picture_says_what_the_bars_say() -> None:
    tracks, bars = stretch(_document(), program=0, first="layers.0.a", last="layers.0.c")
    text = draw(tracks, bars, title="a <step> & more")
    assert text == draw(tracks, bars, title="a <step> & more")
    root = ElementTree.fromstring(text)
    texts = [element.text for element in root.iter(f"{_SVG}text")]
    assert "a <step> & more" in texts and set(tracks) <= set(texts) and "c" in texts
    rectangles = [e for e in root.iter(f"{_SVG}rect") if e.get("class") != "ground"]
    assert len(rectangles) == len(bars)
    colours: dict[str, set[str | None]] = {}
    for rectangle in rectangles:
        shown = rectangle.find(f"{_SVG}title")
        assert shown is not None and shown.text is not None
        colours.setdefault(shown.text.split(":")[0], set()).add(rectangle.get("fill"))
    assert sorted(colours) == ["layers.0.a", "layers.0.b", "layers.0.c"]
    assert all(len(some) == 1 for some in colours.values())
    widths = {float(e.get("width", 0)) for e in rectangles}
    assert max(widths) <= 1040 and min(widths) > 0


def test_the_picture_in_docs_has_the_tracks_that_the_page_explains() -> None:
    page = (ROOT / "docs" / "timeline.md").read_text(encoding="utf-8")
    root = ElementTree.parse(ROOT / "docs" / "pictures" / "timeline.svg").getroot()
    names = [e.text or "" for e in root.iter(f"{_SVG}text") if e.get("class") == "name"]
    assert "pictures/timeline.svg" in page and len(names) >= 12
    for name in names:
        generic = name.replace("port0", "port{p}").replace("decoder0", "decoder{p}")
        assert f"`{generic}`" in page, name
    title = root.find(f"{_SVG}title")
    assert title is not None and title.text is not None and "simulated" in title.text
