# SPDX-License-Identifier: Apache-2.0
"""The picture of the wavefront: what lane 0 does, lane t does t cycles later."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from meadow.spec.config import named_config
from workbench.pictures.wavefront import wavefront_picture

SVG = "{http://www.w3.org/2000/svg}"


def cells(text: str, kind: str) -> list[float]:
    """Left edges of the cells of a kind, in the order drawn."""
    root = ElementTree.fromstring(text)
    return [float(r.attrib["x"]) for r in root.iter(f"{SVG}rect") if r.get("class") == kind]


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_every_lane_does_the_same_one_cycle_later(name: str) -> None:
    config = named_config(name)
    drawn = cells(wavefront_picture(config, name), "amber")[:-1]  # the last one is the legend
    per_lane = len(drawn) // config.lanes
    lanes = [drawn[n * per_lane : (n + 1) * per_lane] for n in range(config.lanes)]
    cycle = (lanes[0][1] - lanes[0][0]) / config.tile_cycles
    for t, lane in enumerate(lanes):
        assert lane == [x + t * cycle for x in lanes[0]]
    assert len(set(drawn)) == len(drawn), "words of two lanes leave in one cycle"
