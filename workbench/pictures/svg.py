# SPDX-License-Identifier: Apache-2.0
"""Boxes, arrows and words as SVG text: the same input gives the same bytes.

The drawing lies on a light card of its own, so that it is readable on a light and on a dark page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Arrow", "Box", "Cell", "Part", "Words", "svg"]

Point = tuple[float, float]

_STYLES = """\
    text { font-family: -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
    .title { font-size: 13px; font-weight: 600; }
    .line { font-size: 11px; fill: #424a53; }
    .note { font-size: 11px; fill: #57606a; font-style: italic; }
    .plain { fill: #ffffff; stroke: #6e7781; }
    .frame { fill: #eef2f6; stroke: #6e7781; stroke-dasharray: 5 3; }
    .strong { fill: #fff1d6; stroke: #bc6c00; }
    .outside { fill: #ddf0e4; stroke: #2d7d46; }
    .room { font: 10px ui-monospace, Menlo, "DejaVu Sans Mono", monospace; fill: #ffffff; }
    .label { fill: #57606a; stroke: none; }
    .blue { fill: #b6d4f5; stroke: #3b6ea8; }
    .amber { fill: #ffdf9e; stroke: #bc6c00; }
    .green { fill: #bfe5cb; stroke: #2d7d46; }
    .violet { fill: #ded0f3; stroke: #6b4ba3; }
    .grey { fill: #e4e8ec; stroke: #8c959f; }
    .arrow { fill: none; stroke: #424a53; stroke-width: 1.4; }"""


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines below it; kind is plain, frame, strong or outside.

    The words are in the middle; those of a frame are at its top left, as other boxes lie inside.
    room: a folder of `rtl_gen`, on a label at the left of the upper edge.
    """

    x: float
    y: float
    width: float
    height: float
    title: str
    lines: Sequence[str] = ()
    kind: str = "plain"
    room: str = ""

    def draw(self) -> list[str]:
        """Elements of SVG."""
        parts = [
            f'  <rect class="{self.kind}" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" '
            f'height="{self.height:g}" rx="6"/>'
        ]
        if self.kind == "frame":
            return [*parts, *Words(self.x + 12, self.y + 20, self.title, "title", "start").draw()]
        middle = self.x + self.width / 2
        first = self.y + self.height / 2 + 4.5 - 7 * len(self.lines)
        parts += Words(middle, first, self.title, "title").draw()
        for index, line in enumerate(self.lines):
            parts += Words(middle, first + 14 * (index + 1), line, "line").draw()
        if self.room:
            width = 6.1 * len(self.room) + 10
            parts.append(
                f'  <rect class="label" x="{self.x + 8:g}" y="{self.y - 8:g}" width="{width:g}" '
                'height="15" rx="3"/>'
            )
            parts += Words(self.x + 13, self.y + 3, self.room, "room", "start").draw()
        return parts


@dataclass(frozen=True)
class Cell:
    """A stretch of work with a short text in it; kind is blue, amber, green, violet or grey."""

    x: float
    y: float
    width: float
    height: float
    text: str
    kind: str

    def draw(self) -> list[str]:
        """Elements of SVG."""
        return [
            f'  <rect class="{self.kind}" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" '
            f'height="{self.height:g}" rx="3"/>',
            *(
                Words(
                    self.x + self.width / 2, self.y + self.height / 2 + 4, self.text, "line"
                ).draw()
                if self.text
                else []
            ),
        ]


@dataclass(frozen=True)
class Words:
    """One line of text; kind is title, line, note or room, anchor start, middle or end."""

    x: float
    y: float
    text: str
    kind: str = "note"
    anchor: str = "middle"

    def draw(self) -> list[str]:
        """Elements of SVG."""
        return [
            f'  <text class="{self.kind}" x="{self.x:g}" y="{self.y:g}" '
            f'text-anchor="{self.anchor}">{escape(self.text)}</text>'
        ]


@dataclass(frozen=True)
class Arrow:
    """A line through points with a head at the last, and at the first if it goes both ways."""

    points: Sequence[Point]
    both: bool = False

    def draw(self) -> list[str]:
        """Elements of SVG."""
        path = " ".join(f"{x:g},{y:g}" for x, y in self.points)
        start = ' marker-start="url(#head)"' if self.both else ""
        return [f'  <polyline class="arrow" points="{path}" marker-end="url(#head)"{start}/>']


Part = Box | Cell | Arrow | Words


def svg(width: int, height: int, title: str, parts: Sequence[Part]) -> str:
    """The drawing; `title` is what a screen reader says."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img">',
        f"  <title>{escape(title)}</title>",
        f"  <style>\n{_STYLES}\n  </style>",
        '  <defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto-start-reverse">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#424a53"/></marker></defs>',
        f'  <rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10" fill="#f6f8fa" '
        'stroke="#d0d7de"/>',
    ]
    for part in parts:
        lines += part.draw()
    return "\n".join([*lines, "</svg>", ""])
