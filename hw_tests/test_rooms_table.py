# SPDX-License-Identifier: Apache-2.0
"""The table of rooms in docs/architecture.md is that of `rtl_gen`; the walk names its rooms."""

from __future__ import annotations

import re

from hw_tests.test_floors import ROOMS, ROOT, imports

TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def section(title: str) -> str:
    """The text under a heading of docs/architecture.md."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table() -> dict[str, set[str]]:
    """Room -> rooms that the table says it imports."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w, ]+) \|$", section("Rooms of rtl_gen"), re.M)
    return {room: set(named.split(", ")) - {"nothing"} for room, named in rows}


def imported(room: str) -> set[str]:
    """Other rooms that the files of a room import."""
    folder = ROOT / "rtl_gen" / room
    files = folder.glob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    modules = {name for file in files for name in imports(file) if name.startswith("rtl_gen.")}
    return {name.split(".")[1] for name in modules} - {room}


def test_the_table_lists_every_room_from_the_ground_up() -> None:
    assert tuple(table()) == ROOMS


def test_the_table_says_what_each_room_imports() -> None:
    assert table() == {room: imported(room) for room in ROOMS}


def test_the_walk_goes_weight_key_token_and_names_rooms_only() -> None:
    titles = re.findall(r"^## (.*)$", TEXT, re.M)
    walk = ["Where a weight goes", "Where a key goes", "Where a token goes"]
    assert titles[: len(walk) + 1] == ["Rooms of rtl_gen", *walk]
    named = set()
    for title in walk:
        steps = re.findall(r"^\d\. \*\*(.*?)\*\*", section(title), re.M)
        named |= {room for step in steps for room in re.findall(r"`(\w+)`", step)}
        assert len(steps) >= 5, title
    assert named <= set(ROOMS)
    assert {"dma", "decoder", "array", "lane", "softmax", "memory", "norm", "writer"} <= named
