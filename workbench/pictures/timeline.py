# SPDX-License-Identifier: Apache-2.0
"""A picture (SVG) of a stretch of a timeline, for documents: `python -m workbench.pictures.timeline
TRACE PICTURE ...`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from xml.sax.saxutils import escape

import typer

from meadow.atomic_write import check_replaceable, replacing
from workbench.pictures.arguments import PictureArgument, TitleOption

__all__ = ["Bar", "draw", "stretch"]

_LABEL_WIDTH, _WIDTH, _ROW, _BAR = 176, 1040, 24, 18
_MARGIN, _TOP = 12, 44
_CHARACTER = 6.4
"""Width of a character of a bar's text in pixels, rounded up."""
_TICKS = (1, 2, 5)
_PALETTE = (
    *("#8ecae6", "#ffb703", "#a7c957", "#f4a3b4", "#b8a9e3", "#7fd1ae", "#f4a261", "#c9d1d9"),
    *("#e9c46a", "#9bb8f0", "#d4a5e8", "#84dcc6"),
)
"""Bright enough for dark text on each of them."""
_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de; }
  .name, .axis, .title { fill: #1f2328; }
  .line { stroke: #d0d7de; }
  .text { fill: #101418; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d; }
    .name, .axis, .title { fill: #e6edf3; }
    .line { stroke: #30363d; }
  }
"""


@dataclass(frozen=True)
class Bar:
    """An event: its track, the command's name, first cycle (from the beginning of the stretch),
    cycles, those active.
    """

    track: str
    name: str
    start: int
    cycles: int
    active: int


def stretch(
    document: dict[str, Any], *, program: int, first: str, last: str
) -> tuple[list[str], list[Bar]]:
    """Tracks, and the bars from the hand-over of command `first` to the end of command `last` in
    the n-th program.

    document: a timeline as `cosim.timeline` writes it; program: which of the runs in it, from 0 on.
    Bars of other commands in that time are shown too, cut where it begins and ends. ValueError if
    there is no such program or command.
    """
    threads, events = _events(document)
    starts = [
        event["args"]["start"]
        for event in events
        if threads[event["tid"]] == "sequencer" and event["args"].get("command") == 0
    ]
    if not 0 <= program < len(starts):
        raise ValueError(f"the timeline has programs 0..{len(starts) - 1}, not {program}")
    end = starts[program + 1] if program + 1 < len(starts) else float("inf")
    inside = [event for event in events if starts[program] <= event["args"]["start"] < end]
    times = []
    for name in (first, last):
        named = [event for event in inside if event["name"] == name]
        if not named:
            raise ValueError(f"program {program} of the timeline has no command {name!r}")
        times.append(
            (
                max(_end(e) for e in named if threads[e["tid"]] == "sequencer"),
                max(_end(e) for e in named),
            )
        )
    low, high = times[0][0], times[1][1]
    if low >= high:
        raise ValueError(f"command {last!r} ends before {first!r} is handed over")
    bars = []
    for event in inside:
        start, stop = max(low, event["args"]["start"]), min(high, _end(event))
        if start < stop:
            active = event["args"]["active"]
            bars.append(
                Bar(threads[event["tid"]], event["name"], start - low, stop - start, active)
            )
    shown = {bar.track for bar in bars}
    return [name for name in threads.values() if name in shown], bars


def _events(document: dict[str, Any]) -> tuple[dict[int, str], list[dict[str, Any]]]:
    trace = document["traceEvents"]
    threads = {e["tid"]: e["args"]["name"] for e in trace if e["name"] == "thread_name"}
    return threads, [event for event in trace if event["ph"] == "X"]


def _end(event: dict[str, Any]) -> int:
    return event["args"]["start"] + event["args"]["cycles"]


def draw(tracks: Sequence[str], bars: Sequence[Bar], *, title: str) -> str:
    """The picture: a row for each track, a colour for each command, cycles along the bottom. Same
    input, same text.
    """
    total = max(bar.start + bar.cycles for bar in bars)
    scale = (_WIDTH - _LABEL_WIDTH - _MARGIN) / total
    prefix = _common([bar.name for bar in bars])
    ordered = dict.fromkeys(bar.name for bar in sorted(bars, key=lambda bar: bar.start))
    colours = {name: _PALETTE[index % len(_PALETTE)] for index, name in enumerate(ordered)}
    bottom = _TOP + _ROW * len(tracks)
    height = bottom + 36
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="ui-sans-serif, Helvetica, Arial, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>',
        f'<text class="title" x="{_MARGIN}" y="24" font-size="13" font-weight="600">'
        f"{escape(title)}</text>",
    ]
    for cycle in _ticks(total):
        x = _LABEL_WIDTH + cycle * scale
        parts.append(
            f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{bottom + 2}"/>'
            f'<text class="axis" x="{x:.1f}" y="{bottom + 18}" '
            f'text-anchor="middle">{cycle:,}</text>'
        )
    parts.append(
        f'<text class="axis" x="{_MARGIN}" y="{bottom + 18}">cycles from the hand-over</text>'
    )
    for row, track in enumerate(tracks):
        y = _TOP + row * _ROW
        parts.append(f'<text class="name" x="{_MARGIN}" y="{y + 14}">{escape(track)}</text>')
        for bar in bars:
            if bar.track == track:
                parts.append(_rectangle(bar, y + (_ROW - _BAR) / 2, scale, colours, prefix))
    return "\n".join([*parts, "</svg>", ""])


def _rectangle(bar: Bar, y: float, scale: float, colours: dict[str, str], prefix: str) -> str:
    x, width = _LABEL_WIDTH + bar.start * scale, max(0.8, bar.cycles * scale)
    text = (
        f'<rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" height="{_BAR}" rx="2" '
        f'fill="{colours[bar.name]}"><title>{escape(bar.name)}: {bar.cycles:,} cycles, '
        f"{bar.active:,} active</title></rect>"
    )
    name = bar.name.removeprefix(prefix)
    if width >= len(name) * _CHARACTER + 4:
        text += f'<text class="text" x="{x + 4:.1f}" y="{y + 13:.0f}">{escape(name)}</text>'
    return text


def _common(names: Sequence[str]) -> str:
    """What most names begin with, "layers.n." or nothing: it would only take room."""
    starts = [".".join(name.split(".")[:2]) + "." for name in names if name.startswith("layers.")]
    return max(set(starts), key=lambda start: (starts.count(start), start), default="")


def _ticks(total: int) -> range:
    """Seven to fifteen round numbers of cycles."""
    step = next(
        step
        for step in (base * 10**power for power in range(12) for base in _TICKS)
        if total / step < 15
    )
    return range(0, total + 1, step)


def _main(
    trace: Annotated[Path, typer.Argument(help="Timeline that `--trace` wrote.")],
    picture: PictureArgument,
    first: Annotated[str, typer.Option(help="Command whose hand-over begins the picture.")],
    last: Annotated[str, typer.Option(help="Command whose end ends it.")],
    title: TitleOption,
    program: Annotated[int, typer.Option(help="Which run of the program, from 0 on.")] = 0,
) -> None:
    check_replaceable(picture, "the picture")
    tracks, bars = stretch(json.loads(trace.read_text()), program=program, first=first, last=last)
    with replacing(picture, "the picture") as file:
        file.write(draw(tracks, bars, title=title).encode())


if __name__ == "__main__":
    typer.run(_main)
