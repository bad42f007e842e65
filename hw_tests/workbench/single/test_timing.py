# SPDX-License-Identifier: Apache-2.0
"""The timing diagrams of units alone are what their Verilog does in a simulation."""

from __future__ import annotations

import json

import pytest

from hw_tests.rtl_gen.single.scenes import SCENES, scene_text
from rtl_gen.single.unit import SINGLE_UNITS
from workbench.single.timing import TIMING_FOLDER, unit_diagrams


@pytest.mark.sim
@pytest.mark.parametrize("name", SCENES)
def test_a_diagram_is_what_the_verilog_does(name: str) -> None:
    """Otherwise `python -m hw_tests.rtl_gen.single.scenes` makes them again."""
    assert (TIMING_FOLDER / f"{name}.json").read_text("utf-8") == scene_text(name)


def test_there_is_a_scene_for_every_diagram_and_a_diagram_for_every_unit() -> None:
    assert {path.stem for path in TIMING_FOLDER.iterdir()} == set(SCENES)
    for unit in SINGLE_UNITS:
        diagrams = unit_diagrams(unit)
        assert set(diagrams) == {f"{n}.json" for n, scene in SCENES.items() if scene.unit == unit}
        assert len(diagrams) >= 2


@pytest.mark.parametrize("name", SCENES)
def test_a_diagram_is_well_formed(name: str) -> None:
    """As WaveDrom reads it: one column for each cycle in every line, and the data of every `=`."""
    signals = json.loads((TIMING_FOLDER / f"{name}.json").read_text("utf-8"))["signal"]
    lines = [signal for signal in signals if signal]
    (cycles,) = {len(line["wave"]) for line in lines}
    assert 8 <= cycles <= 48
    for line in lines:
        assert set(line["wave"]) <= set("p.01x=")
        assert line["wave"].count("=") == len(line.get("data", []))
    moves = [line for line in lines if line["name"].endswith("valid") and "1" in line["wave"]]
    assert moves
