# SPDX-License-Identifier: Apache-2.0
"""The picture of the machine: numbers of the configuration, labels of the rooms of `rtl_gen`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from hw_tests.test_floors import ROOMS
from meadow.spec.config import CONFIGURATIONS
from workbench.pictures.machine import machine_picture
from workbench.pictures.svg import Box, svg

SVG = "{http://www.w3.org/2000/svg}"


def words(text: str) -> str:
    return " | ".join(node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text"))


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_its_numbers_are_those_of_the_configuration(name: str) -> None:
    config = CONFIGURATIONS[name]
    shown = words(machine_picture(config, name))
    assert f"configuration {name}: {config.macs} INT8 multiply-accumulates per cycle" in shown
    assert f"memory port ×{config.ports}" in shown and f"lane ×{config.lanes}" in shown
    assert f"2 tiles of {config.width}×{config.width}" in shown


def test_every_room_of_hardware_has_a_label() -> None:
    root = ElementTree.fromstring(machine_picture(CONFIGURATIONS["tiny"], "tiny"))
    labels = [node.text or "" for node in root.iter(f"{SVG}text") if node.get("class") == "room"]
    named = {room for label in labels for room in label.split(", ")}
    # What the others are made of, and what puts them together.
    beside = {"interfaces", "blocks", "baseline", "units", "top", "export", "single"}
    assert named == set(ROOMS) - beside


def test_every_unit_of_the_dma_room_is_drawn() -> None:
    shown = words(machine_picture(CONFIGURATIONS["tiny"], "tiny"))
    for unit in ("memory port", "fetch unit", "loader", "storer"):
        assert unit in shown


def test_words_are_escaped() -> None:
    assert words(svg(10, 10, "a < b", [Box(0, 0, 5, 5, "K & V")])) == "K & V"
