# SPDX-License-Identifier: Apache-2.0
"""The blocks of a chip are cut out of its text, copies once, and synthesise alone and alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from boards.synthesis.chip_blocks import PLACES, TOP, Block, chip_texts, cut
from boards.synthesis.flow import SynthesisError, synthesise
from meadow.spec.config import named_config

# Twenty seconds for the text of a chip.
pytestmark = pytest.mark.slow
CONFIG = replace(named_config("tiny"), ports=2)


@pytest.fixture(scope="module")
def blocks() -> dict[str, Block]:
    top, lane = chip_texts(CONFIG)
    return dict(cut(top, lane, CONFIG).blocks)


def test_every_block_is_there_once_and_copies_are_counted(blocks: dict[str, Block]) -> None:
    assert set(blocks) == {*PLACES, "lane", TOP}
    copies = {name: block.copies for name, block in blocks.items() if block.copies > 1}
    assert copies == {
        "lane": CONFIG.lanes,
        "decoder": CONFIG.ports,
        "memory_port": CONFIG.ports,
    }


def test_no_text_names_a_place_outside_the_sources(blocks: dict[str, Block]) -> None:
    for block in blocks.values():
        assert str(Path(__file__).parents[3]) not in block.text, block.name


@pytest.mark.parametrize("name", ["parameter_buffer", TOP])
def test_two_runs_make_one_netlist(blocks: dict[str, Block], name: str, tmp_path: Path) -> None:
    made = []
    for run in ("first", "second run"):  # a space: Yosys takes none
        folder = tmp_path / run
        folder.mkdir()
        synthesise(blocks[name], folder)
        assert [path.name for path in folder.iterdir()] == ["netlist.json"]
        made.append((folder / "netlist.json").read_bytes())
    assert made[0] == made[1]


def test_what_yosys_refuses_is_told_with_the_block(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="^yosys failed on block odd with status 1: .*ERROR"):
        synthesise(Block(name="odd", copies=1, text="module \\odd\n"), tmp_path)
