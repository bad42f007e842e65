# SPDX-License-Identifier: Apache-2.0
"""The picture of the machine: what the tree holds is what its script draws, and it can be read anywhere."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from meadow.spec.config import CONFIGURATIONS
from workbench.pictures.machine import CONFIG_NAME, FILE, machine_picture
from workbench.pictures.svg import Box, svg

SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> str:
    return " | ".join(node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text"))


def test_the_picture_in_the_tree_is_up_to_date() -> None:
    drawn = machine_picture(CONFIGURATIONS[CONFIG_NAME], CONFIG_NAME)
    assert FILE.read_text("utf-8") == drawn, "python -m workbench.pictures.machine"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_its_numbers_are_those_of_the_configuration(name: str) -> None:
    config = CONFIGURATIONS[name]
    shown = words(machine_picture(config, name))
    assert f"configuration {name}: {config.macs} INT8 multiply-accumulates per cycle" in shown
    assert f"memory port ×{config.ports}" in shown and f"lane ×{config.lanes}" in shown
    assert f"2 tiles of {config.width}×{config.width}" in shown


def test_it_brings_its_own_background_and_loads_nothing() -> None:
    root = ElementTree.fromstring(FILE.read_text("utf-8"))
    card = next(root.iter(f"{SVG}rect"))
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    assert float(card.attrib["width"]) >= width - 1 and float(card.attrib["height"]) >= height - 1
    assert card.attrib["fill"] == "#f6f8fa"
    assert not any(
        tag in FILE.read_text("utf-8") for tag in ("<image", "<script", "@import", "href")
    )


def test_boxes_lie_inside_the_picture_and_words_are_escaped() -> None:
    root = ElementTree.fromstring(FILE.read_text("utf-8"))
    for box in root.iter(f"{SVG}rect"):
        right = float(box.attrib["x"]) + float(box.attrib["width"])
        below = float(box.attrib["y"]) + float(box.attrib["height"])
        assert right <= float(root.attrib["width"]) and below <= float(root.attrib["height"])
    assert words(svg(10, 10, "a < b", [Box(0, 0, 5, 5, "K & V")])) == "K & V"
