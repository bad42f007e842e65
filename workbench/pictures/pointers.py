# SPDX-License-Identifier: Apache-2.0
"""The picture of the two command pointers with HOLD_FETCH, at three moments of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.pictures.svg import Arrow, Cell, Part, Words, svg

__all__ = ["COMMANDS", "MOMENTS", "Moment", "pointers_picture"]

COMMANDS = (
    *("k", "k_store", "v", "v_store", "q", "attend.0", "attend.1", "o"),
    *("mlp_norm", "fc1.0", "fc2.0"),
)
"""Labels of a layer's commands in program order, without the loads of norm parameters."""
_HELD = COMMANDS.index("attend.0")
_LEFT, _TOP, _SLOT, _MOMENT = 20, 66, 84, 124
_HEIGHT = 32


@dataclass(frozen=True)
class Moment:
    """Which command (index) each pointer hands over next, and why the fetch pointer is there."""

    execute: int
    fetch: int
    why: str


MOMENTS = (
    Moment(
        3,
        _HELD,
        "held: not all STOREs before it are in DRAM; v is being computed, weights of q arrive",
    ),
    Moment(
        5,
        _HELD + 2,
        "released: both STOREs are executed and answered; keys arrive while q is computed",
    ),
    Moment(
        6,
        10,
        "ahead again: weights of o and fc1.0 wait in FIFOs and tile buffer if there is room",
    ),
)


def pointers_picture() -> str:
    """SVG text: the commands, coloured by what has been done of each, at three moments."""
    parts: list[Part] = [Words(20, 28, "Two pointers into one program", "title", "start")]
    x = 300
    for kind, text, width in (
        ("grey", "handed over for execution", 190),
        ("blue", "passed by the fetch pointer", 200),
        ("amber", "HOLD_FETCH, held", 130),
    ):
        parts += [Cell(x, 17, 14, 14, "", kind), Words(x + 20, 28, text, "line", "start")]
        x += width
    for number, moment in enumerate(MOMENTS):
        y = _TOP + number * _MOMENT
        for index, name in enumerate(COMMANDS):
            kind = "grey" if index < moment.execute else "blue" if index < moment.fetch else "plain"
            if index == moment.fetch == _HELD:
                kind = "amber"
            parts.append(Cell(_LEFT + index * _SLOT, y + 20, _SLOT - 6, _HEIGHT, name, kind))
        for pointer, index in (
            ("execute pointer", moment.execute),
            ("fetch pointer", moment.fetch),
        ):
            at = _LEFT + index * _SLOT + _SLOT / 2 - 3
            parts += [
                Arrow([(at, y + 76), (at, y + 20 + _HEIGHT)]),
                Words(at, y + 88, pointer, "title"),
            ]
        parts.append(Words(_LEFT, y + 12, f"{number + 1}. Fetch {moment.why}", "note", "start"))
    title = (
        "The execute pointer hands commands to their units; the fetch pointer runs ahead and asks "
        "DRAM for their data. At the first ATTEND with HOLD_FETCH it waits until the new keys and "
        "values have been stored."
    )
    return svg(
        _LEFT * 2 + len(COMMANDS) * _SLOT - 6, _TOP + len(MOMENTS) * _MOMENT - 16, title, parts
    )
