# SPDX-License-Identifier: Apache-2.0
"""Pictures of a packing report as SVG files, drawn with matplotlib (the extra `plot`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meadow.atomic_write import check_folder, check_replaceable, made_folder, replacing
from meadow.spec.streams import CODEC_NAMES
from workbench.packing.figures import PACKINGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PlotError", "check_matplotlib", "check_plotting", "write_plots"]

# Okabe and Ito's colours, which people with any colour vision tell apart.
_PALETTE = ("#999999", "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9")
_COLOURS = {**dict(zip(CODEC_NAMES, cycle(_PALETTE), strict=False)), "auto": "#009E73"}
_INK = "#222222"
_LEVELS = 127
_NAMES = ("bits.svg", "weights.svg", "matrices.svg")
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "meadow",  # the same report gives the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.edgecolor": _INK,
    "legend.frameon": False,
}


class PlotError(ValueError):
    """Pictures cannot be drawn; the message says what is missing."""


def check_matplotlib() -> None:
    """PlotError without matplotlib, naming the extra."""
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotError(
            "pictures need matplotlib: it is the extra `plot`, pip install --editable '.[plot]'"
        )


def check_plotting(directory: Path) -> None:
    """Before the work that is to be drawn: PlotError without matplotlib (naming the extra),
    OutputError for a directory that cannot be made or written to, or a picture in it that cannot be
    replaced. Nothing is made yet."""
    check_matplotlib()
    check_folder(directory, "the pictures")
    if directory.is_dir():
        for name in _NAMES:
            check_replaceable(directory / name, "the picture")


def write_plots(
    report: Mapping[str, Any], counts: Mapping[str, np.ndarray], directory: Path
) -> list[Path]:
    """Write bits.svg, weights.svg and matrices.svg into `directory`, which is made; returns their
    paths.

    bits: bits per weight by codec and grid, the entropy as a line across; weights: how often each
    integer of `counts` (int64 [255] by grid, -127..127) occurs; matrices: bits per weight and
    entropy of each matrix of the report.
    """
    import matplotlib

    with made_folder(directory), matplotlib.rc_context(_STYLE):
        figures = (_bits(report), _weights(report, counts), _matrices(report))
        paths = []
        for name, figure in zip(_NAMES, figures, strict=True):
            content = BytesIO()
            # Without the date, which would make every file another one.
            figure.savefig(content, format="svg", bbox_inches="tight", metadata={"Date": None})
            paths.append(directory / name)
            with replacing(paths[-1], "the picture") as file:
                file.write(content.getvalue())
    return paths


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, sharey=columns > 1)[0].tolist()


def _plain(text: str) -> str:
    """A name that may hold dollar signs, which enclose formulas in matplotlib."""
    return text.replace("$", r"\$")


def _bits(report: Mapping[str, Any]) -> Figure:
    """Groups of bars by grid, one per codec."""
    rows = {grid: row for grid, row in report["table"].items() if row is not None}
    figure, (axes,) = _figure(max(4.0, 1.9 * len(rows)), 3.4)
    width = 0.8 / len(PACKINGS)
    for number, packing in enumerate(PACKINGS):
        places = np.arange(len(rows)) + (number - (len(PACKINGS) - 1) / 2) * width
        values = [row[packing] for row in rows.values()]
        bars = axes.bar(places, values, width * 0.92, color=_COLOURS[packing], label=packing)
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=1, color=_INK)
    for place, row in enumerate(rows.values()):
        label = "entropy" if place == 0 else ""
        axes.hlines(
            row["entropy"], place - 0.46, place + 0.46, colors=_INK, linestyles="--", label=label
        )
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set_ylabel("bits per weight")
    axes.set_ylim(0, 9)
    axes.set_title(
        f"{_plain(report['source'])}: bits per weight by grid and codec ({report['config']})"
    )
    axes.legend(ncols=len(PACKINGS) + 1, loc="upper center", bbox_to_anchor=(0.5, -0.1))
    return figure


def _weights(report: Mapping[str, Any], counts: Mapping[str, np.ndarray]) -> Figure:
    """A histogram by grid."""
    figure, every = _figure(max(4.0, 2.6 * len(counts)), 2.6, len(counts))
    for axes, (grid, count) in zip(every, counts.items(), strict=True):
        used = np.flatnonzero(count)
        reach = int(np.abs(used - _LEVELS).max(initial=1))
        edges = np.arange(-reach, reach + 2) - 0.5
        share = count[_LEVELS - reach : _LEVELS + reach + 1] / count.sum()
        axes.stairs(share, edges, fill=True, color=_COLOURS["dictionary"])
        axes.set_title(grid)
        axes.set_xlabel("integer weight")
        axes.set_yscale("log")
    every[0].set_ylabel("share of all weights")
    figure.suptitle(f"{_plain(report['source'])}: weights", x=0.01, ha="left", fontsize=10)
    return figure


def _matrices(report: Mapping[str, Any]) -> Figure:
    """A bar per matrix, first matrix on top, its entropy as a mark."""
    parts = report["matrices"]
    figure, (axes,) = _figure(6.4, 1.0 + 0.17 * len(parts))
    places = np.arange(len(parts))
    seen: set[str] = set()
    for place, part in zip(places, parts, strict=True):
        codec = part["codec"]
        label = "" if codec in seen else codec
        seen.add(codec)
        axes.barh(place, part["bits_per_weight"], 0.75, color=_COLOURS[codec], label=label)
    axes.plot(
        [part["entropy_bits"] for part in parts],
        places,
        linestyle="none",
        marker="|",
        markersize=7,
        color=_INK,
        label="entropy",
    )
    axes.set_yticks(places, [_plain(part["name"]) for part in parts], fontsize=6.5)
    axes.set_ylim(len(parts) - 0.4, -0.6)
    axes.set_xlabel("bits per weight, slice headers not counted")
    axes.set_title(f"{_plain(report['source'])}, {report['grid']}: bits per weight by matrix")
    axes.legend(ncols=4, loc="upper left", bbox_to_anchor=(0, -0.5 / (1.0 + 0.17 * len(parts))))
    return figure
