# SPDX-License-Identifier: Apache-2.0
"""The picture of the wavefront of lanes: lane t does what lane 0 did t cycles earlier."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig
from workbench.pictures.svg import Arrow, Cell, Part, Words, svg

__all__ = ["wavefront_picture"]

_LEFT, _TOP = 100, 74
_CYCLE, _LANE = 11, 62
_BAR, _DRAIN = 24, 16
_GROUPS = 4
_KINDS = ("blue", "green", "violet", "grey")


def wavefront_picture(config: AcceleratorConfig, name: str) -> str:
    """SVG text for the lanes of `config`, which is called `name`.

    Each lane multiplies for token groups above, and drains the slice before below.

    Latencies inside a lane are the same for all lanes; they are left out.
    """
    lanes, cycles = config.lanes, config.tile_cycles
    last = _GROUPS * cycles + lanes - 1
    right, bottom = _LEFT + last * _CYCLE, _TOP + lanes * _LANE
    parts: list[Part] = [
        Words(
            20,
            28,
            f"Lanes of configuration {name}: one tile, {_GROUPS} token groups",
            "title",
            "start",
        ),
        Words(
            *(
                20,
                48,
                f"a tile operation takes W/R = {cycles} cycles; "
                "every lane is one cycle behind the lane before it",
            ),
            *("note", "start"),
        ),
    ]
    for lane in range(lanes):
        y = _TOP + lane * _LANE
        parts.append(Words(20, y + 16, f"lane {lane}", "title", "start"))
        parts.append(Words(20, y + _BAR + 16, "drain", "note", "start"))
        for group in range(_GROUPS):
            x = _LEFT + (group * cycles + lane) * _CYCLE
            width = cycles * _CYCLE
            parts.append(
                Cell(
                    x, y, width, _BAR, f"multiplies for token {group * lanes + lane}", _KINDS[group]
                )
            )
            word = f"token {group * lanes + lane}, slice before"
            parts.append(Cell(x, y + _BAR + 4, width - 8, _DRAIN, word, _KINDS[group]))
            parts.append(Cell(x + width - 8, y + _BAR + 4, 8, _DRAIN, "", "amber"))
    axis = bottom + 8
    parts.append(Arrow([(_LEFT, axis), (right + 10, axis)]))
    for group in range(_GROUPS + 1):
        x = _LEFT + group * cycles * _CYCLE
        parts.append(Words(x, axis + 18, f"{group * cycles}", "line"))
    parts += [
        Words(20, axis + 18, "cycle", "note", "start"),
        Cell(_LEFT, axis + 34, 8, _DRAIN, "", "amber"),
        Words(
            *(_LEFT + 16, axis + 46),
            "an 8-bit result word leaves its lane, one cycle after that of the lane before: "
            "on the way back words never meet",
            *("note", "start"),
        ),
    ]
    title = (
        f"{lanes} lanes work on the same tile, one token of each group per lane. Lane t begins "
        "every tile operation and every drain t cycles after lane 0, so that result words leave "
        "the lanes one after the other."
    )
    return svg(right + 36, int(axis + 66), title, parts)
