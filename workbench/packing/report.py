# SPDX-License-Identifier: Apache-2.0
"""`meadow report`: what packing makes of a model's weights, against their entropy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from meadow.compiler.packing.packing import CODECS
from workbench.configurations.chosen import ChosenConfig
from workbench.console import print_json, say, show
from workbench.options import JsonOption, check_path, choices, path_option, takes_config
from workbench.packing.build import CODEC, CONFIG, GRID, ReportOptions, check_source, measure
from workbench.packing.figures import PACKINGS
from workbench.packing.grids import GRIDS
from workbench.packing.plots import check_matplotlib, check_plotting, write_plots
from workbench.progress import log

__all__ = ["report_command"]


def _of_matrices(names: Iterable[str], default: str) -> str:
    """Help of an option that says how single matrices are shown."""
    return f"Of the single matrices: {choices(names)}; an image's own, or {default}, if left out."


@takes_config(CONFIG, image=True)
def report_command(
    source: Annotated[
        str,
        typer.Argument(
            help="Image file, checkpoint directory of an OPT model, or minilm: real weights, "
            "of the extra of that name."
        ),
    ],
    grid: Annotated[
        str | None,
        typer.Option(help=_of_matrices(GRIDS, GRID)),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(help=_of_matrices(CODECS, CODEC)),
    ] = None,
    *,
    config: ChosenConfig | None,
    plot: Annotated[
        Path | None, path_option(help="Directory for pictures (SVG); needs the extra `plot`.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bits per weight by matrix, codec and grid, tables, modes, preambles and padding included."""
    check_path(source)
    options = ReportOptions(grid=grid, codec=codec, chosen=config)
    if plot is not None:
        check_matplotlib()
    check_source(source)
    if plot is not None:
        check_plotting(plot)
    measured = measure(source, options, log)
    if plot is not None:
        for path in write_plots(measured.report, measured.counts, plot):
            say(f"wrote {path}", err=True)
    if as_json:
        print_json(measured.report)
    else:
        _print(measured.report)


def _print(report: dict[str, Any]) -> None:
    asked = f"{report['config']}: matrices, {report['grid']}, {report['codec']}"
    title = Text(f"{report['source']} on {asked}")
    table = Table(title=title, box=SIMPLE_HEAD, padding=0)
    table.add_column("matrix", overflow="fold")
    for name in ("shape", "codec"):
        table.add_column(name, no_wrap=True)
    for name in ("chunk", "unique", "entropy", "bits", "headers", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in report["matrices"]:
        shape, chunk = "×".join(map(str, part["shape"])), str(part["chunk"])
        table.add_row(Text(part["name"]), shape, part["codec"], chunk, *_numbers(part, ","))
    total = report["total"]
    codecs = "\n".join(f"{count} {name}" for name, count in sorted(total["codecs"].items()))
    table.add_section()
    table.add_row("total", f"{total['weights']:,}", codecs, "", *_numbers(total, ",.0f"))
    show(table, _grid_table(report))
    if "dictionary_variants" in report:
        show(_variant_table(report))


def _numbers(values: dict[str, Any], unique_format: str) -> list[str]:
    return [
        format(values["unique_chunks"], unique_format),
        f"{values['entropy_bits']:.3f}",
        f"{values['bits_per_weight']:.3f}",
        f"{values['header_bits_per_weight']:.3f}",
        f"{values['ratio']:.2f}×",
    ]


def _grid_table(report: dict[str, Any]) -> Table:
    table = Table(title="bits per weight, without slice headers")
    table.add_column("grid")
    for name in ("entropy", *PACKINGS):
        table.add_column(name, justify="right")
    for grid, row in report["table"].items():
        if row is not None:
            table.add_row(grid, *(f"{row[name]:.3f}" for name in ("entropy", *PACKINGS)))
    return table


def _variant_table(report: dict[str, Any]) -> Table:
    table = Table(title="dictionary step by step: one table as in the paper / streams of the ports")
    variants = report["dictionary_variants"]
    table.add_column("grid")
    for name in next(iter(variants.values())):
        table.add_column(name, justify="right")
    for grid, row in variants.items():
        table.add_row(grid, *(f"{v['one_table']:.3f} / {v['streams']:.3f}" for v in row.values()))
    return table
