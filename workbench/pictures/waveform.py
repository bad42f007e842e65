# SPDX-License-Identifier: Apache-2.0
"""A picture (SVG) of a few signals of a waveform, for documents: `python -m
workbench.pictures.waveform FILE.fst PICTURE ...`.

It reads the file with pywellen, Surfer's reader, which is in the extra `test`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from cosim.wave_views import SCOPE
from cosim.waves import CYCLE_UNITS
from meadow.atomic_write import check_replaceable, replacing
from workbench.pictures.arguments import PictureArgument, TitleOption
from workbench.pictures.svg import Cell, Part, Words, svg

__all__ = ["Row", "draw", "read_rows"]

_LABEL_WIDTH, _WIDTH, _ROW, _BAR = 330, 1040, 26, 18
_MARGIN, _TOP = 16, 62
_CHARACTER = 7.0
"""Width of a character of a value in pixels, rounded up."""
_KINDS = ("blue", "amber", "green", "violet")
_TICKS = (1, 2, 5)


@dataclass(frozen=True)
class Row:
    """A signal: its name, its bits, and its value in each of the cycles, before the rising edge."""

    name: str
    bits: int
    values: tuple[int, ...]


def read_rows(path: Path, names: Sequence[str], *, first: int, cycles: int) -> list[Row]:
    """The signals `names`, from SCOPE on, in `cycles` cycles from cycle `first` of the simulation.

    ValueError for a signal that the file does not have, or cycles before or behind it.
    """
    from pywellen import Waveform  # pyright: ignore[reportAttributeAccessIssue]

    wave = Waveform(str(path))
    there = {}
    for variable in wave.all_vars():
        there.setdefault(variable.full_name, variable)
    rows = []
    for name in ["clk", *names]:
        variable = there.get(f"{SCOPE}.{name}")
        if variable is None:
            raise ValueError(f"{path} has no signal {SCOPE}.{name}")
        signal = variable.signal
        changes = [signal[index] for index in range(len(signal))]
        times = [time for time, _ in changes]
        if name == "clk":
            begin, end = times[0] // CYCLE_UNITS, times[-1] // CYCLE_UNITS + 1
            if not begin <= first < first + cycles <= end:
                raise ValueError(
                    f"{path} has cycles {begin}..{end - 1}, not {first}..{first + cycles - 1}"
                )
            continue
        values = (
            int(changes[bisect_right(times, cycle * CYCLE_UNITS) - 1][1])
            for cycle in range(first, first + cycles)
        )
        rows.append(Row(name, variable.bitwidth, tuple(values)))
    return rows


def draw(rows: Sequence[Row], *, title: str) -> str:
    """SVG text; a bit is a bar where it is 1, a wider signal a box with each value, decimal if it
    counts commands, else hexadecimal.
    """
    total = len(rows[0].values)
    scale = (_WIDTH - _LABEL_WIDTH - _MARGIN) / total
    height = _TOP + _ROW * len(rows) + _MARGIN
    parts: list[Part] = [Words(_MARGIN, 26, title, "title", "start")]
    step = next(
        step
        for step in (base * 10**power for power in range(9) for base in _TICKS)
        if total / step < 13
    )
    for tick in range(0, total + 1, step):
        parts.append(Words(_LABEL_WIDTH + tick * scale, _TOP - 12, str(tick), "line"))
    parts.append(Words(_LABEL_WIDTH - 14, _TOP - 12, "cycle", "line", "end"))
    for index, row in enumerate(rows):
        y = _TOP + _ROW * index
        name = row.name.removeprefix("accelerator.")
        parts.append(Words(_MARGIN, y + 13, name, "line", "start"))
        place = 0
        for value, group in groupby(row.values):
            length = len(list(group))
            x, width = _LABEL_WIDTH + place * scale, length * scale
            place += length
            if row.bits == 1:
                kind = "blue" if value else "grey"
                low = 0 if value else _BAR - 3
                parts.append(Cell(x, y + low, width, _BAR - low, "", kind))
                continue
            shown = str(value) if "command" in row.name else f"{value:x}"
            fits = len(shown) * _CHARACTER <= width
            kind = _KINDS[value % len(_KINDS)] if "command" in row.name else "green"
            parts.append(Cell(x, y, width, _BAR, shown if fits else "", kind))
    return svg(_WIDTH, height, title, parts)


def _main(
    waves: Annotated[Path, typer.Argument(help="Waveforms that `--waves` wrote.")],
    picture: PictureArgument,
    signal: Annotated[list[str], typer.Option(help="Signals, one after the other.")],
    first: Annotated[int, typer.Option(help="Cycle of the simulation that begins the picture.")],
    cycles: Annotated[int, typer.Option(help="How many there are.")],
    title: TitleOption,
) -> None:
    check_replaceable(picture, "the picture")
    rows = read_rows(waves, signal, first=first, cycles=cycles)
    with replacing(picture, "the picture") as file:
        file.write(draw(rows, title=title).encode())


if __name__ == "__main__":
    typer.run(_main)
