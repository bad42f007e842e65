# SPDX-License-Identifier: Apache-2.0
"""Pictures of the design: what the tree holds is what the scripts draw, and it can be read anywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from hw_tests.meadow.compiler import family_models
from hw_tests.seeds import salted
from meadow.compiler.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.commands import Flag, Opcode
from meadow.spec.config import named_config
from workbench.pictures.__main__ import FOLDER, PICTURES
from workbench.pictures.attention_order import attention_order_picture, tile_order
from workbench.pictures.pointers import COMMANDS, MOMENTS
from workbench.pictures.wavefront import wavefront_picture

SVG = "{http://www.w3.org/2000/svg}"
PAGES = {path: path.read_text("utf-8") for path in FOLDER.parent.glob("*.md")}


def words(text: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(text).iter(f"{SVG}text")]


def cells(text: str, kind: str) -> list[float]:
    """Left edges of the cells of a kind, in the order drawn."""
    root = ElementTree.fromstring(text)
    return [float(r.attrib["x"]) for r in root.iter(f"{SVG}rect") if r.get("class") == kind]


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


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_every_lane_does_the_same_one_cycle_later(name: str) -> None:
    config = named_config(name)
    drawn = cells(wavefront_picture(config, name), "amber")[:-1]  # the last one is the legend
    per_lane = len(drawn) // config.lanes
    lanes = [drawn[n * per_lane : (n + 1) * per_lane] for n in range(config.lanes)]
    cycle = (lanes[0][1] - lanes[0][0]) / config.step_cycles
    for t, lane in enumerate(lanes):
        assert lane == [x + t * cycle for x in lanes[0]]
    assert len(set(drawn)) == len(drawn), "words of two lanes leave in one cycle"


@pytest.mark.parametrize(
    ("blocks", "order"),
    [
        (1, "K0 V0"),
        (2, "K0 K1 V0 V1"),
        (4, "K0 K1 V0 K2 V1 K3 V2 V3"),
    ],
)
def test_keys_are_one_block_ahead_of_values(blocks: int, order: str) -> None:
    assert " ".join(f"{tile}{block}" for tile, block in tile_order(blocks)) == order
    tiles = [
        word for word in words(attention_order_picture(blocks)) if re.fullmatch(r"[KV]\d", word)
    ]
    assert " ".join(tiles) == order


def test_the_commands_are_those_of_a_compiled_layer_and_the_held_one_has_hold_fetch() -> None:
    description = family_models.describe(
        "opt", layers=1, heads=2, head_dim=16, hidden=64, vocabulary=48
    )
    program = compile_program(
        synthetic_model(description, hidden_block=64, seed=salted(0)), named_config("tiny")
    )
    commands = dict(zip(program.labels, program.commands, strict=True))
    layer = [label.removeprefix("layers.0.") for label in program.labels if "layers.0." in label]
    assert tuple(label for label in layer if label in COMMANDS) == COMMANDS
    held = [name for name in COMMANDS if commands[f"layers.0.{name}"].flags & Flag.HOLD_FETCH]
    assert held == [COMMANDS[MOMENTS[0].fetch]]
    stores = [n for n, c in enumerate(COMMANDS) if commands[f"layers.0.{c}"].opcode == Opcode.STORE]
    assert MOMENTS[0].execute <= max(stores) < MOMENTS[1].execute
    for moment in MOMENTS:
        assert moment.execute <= moment.fetch
