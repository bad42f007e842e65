# SPDX-License-Identifier: Apache-2.0
"""Pictures of the design: the tree holds what the scripts draw, and it can be read anywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from workbench.pictures.__main__ import FOLDER, PICTURES

SVG = "{http://www.w3.org/2000/svg}"
PAGES = {path: path.read_text("utf-8") for path in FOLDER.parent.glob("*.md")}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_in_the_tree_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PICTURES[name](), "python -m workbench.pictures"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_brings_its_own_background_and_loads_nothing(name: str) -> None:
    text = (FOLDER / name).read_text("utf-8")
    root = ElementTree.fromstring(text)
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    card = next(root.iter(f"{SVG}rect"))
    assert float(card.attrib["width"]) >= width - 1 and float(card.attrib["height"]) >= height - 1
    assert card.attrib["fill"] == "#f6f8fa"
    assert not any(tag in text for tag in ("<image", "<script", "@import", "href"))


@pytest.mark.parametrize("name", PICTURES)
def test_everything_lies_inside_its_picture(name: str) -> None:
    root = ElementTree.fromstring((FOLDER / name).read_text("utf-8"))
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    for box in root.iter(f"{SVG}rect"):
        x, y = float(box.attrib["x"]), float(box.attrib["y"])
        assert 0 <= x <= x + float(box.attrib["width"]) <= width
        assert 0 <= y <= y + float(box.attrib["height"]) <= height
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = (float(value) for value in point.split(","))
            assert 0 <= x <= width and 0 <= y <= height
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.attrib["y"]) < height


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_stands_on_a_page_with_a_caption_that_says_what_it_is(name: str) -> None:
    shown = [
        match
        for text in PAGES.values()
        for match in re.findall(rf"!\[[^\]]+\]\(pictures/{name}\)\n\n\*([^*]+)\*\n", text)
    ]
    assert shown, name
    for caption in shown:
        assert "a drawing of the design" in " ".join(caption.split())
        assert "not a measurement" in " ".join(caption.split())
