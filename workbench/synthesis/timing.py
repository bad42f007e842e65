# SPDX-License-Identifier: Apache-2.0
"""`meadow timing`: the slowest paths of every block and between blocks, modelled on synthesised
netlists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from boards.synthesis.chip_blocks import TOP
from boards.synthesis.flow import SynthesisError
from boards.synthesis.netlist import Netlist
from boards.timing.chip import BlockTiming, block_timing, chip_timing
from boards.timing.delays import MODELS, PIN_NS
from boards.timing.limits import MOST_RESET_LOADS, limits_of
from boards.timing.resets import reset_loads
from boards.timing.ways import Path
from meadow.spec.checks import check_least
from meadow.spec.config import AcceleratorConfig
from workbench.configurations.chosen import ChosenConfig, config_facts
from workbench.console import print_json, say, show
from workbench.options import JobsOption, JsonOption, takes_config
from workbench.progress import log
from workbench.synthesis.netlists import netlists

__all__ = ["timing_command", "timing_report"]

_LABEL = "modelled on synthesised netlists: nothing is placed or routed"
_ALONE = f"the block alone: inputs arrive at {PIN_NS} ns, outputs have one wire before them"
_WHOLE = f"the chip: only its pins are assumed, inputs at {PIN_NS} ns, one wire before outputs"
_NS_DIGITS = 3


def timing_report(
    name: str,
    config: AcceleratorConfig,
    *,
    blocks: Sequence[str] = (),
    most: int = 10,
    jobs: int | None = None,
) -> dict[str, Any]:
    """JSON-ready slowest paths of a configuration.

    blocks: each alone, without the paths that come from others; the whole chip if empty.
    most: paths of a block under a model.
    """
    check_least("paths", most, 1)
    found = netlists(config, log, names=blocks or None, jobs=jobs)
    nets = {block: netlist for block, (_, netlist) in found.items()}
    timings: dict[str, dict[str, BlockTiming]] = {}
    for model in MODELS:
        log(f"paths under the model {model.name}")
        if blocks:
            timings[model.name] = {
                block: block_timing(netlist, model, most) for block, netlist in nets.items()
            }
        else:
            timings[model.name] = chip_timing(nets, TOP, model, most)
    worst = {
        model: max(timing.worst_ns for timing in by_block.values())
        for model, by_block in timings.items()
    }
    copies = {block: entry.copies for block, (entry, _) in found.items()}
    return {
        "configuration": name,
        **config_facts(config),
        "label": _LABEL,
        "assumed": _ALONE if blocks else _WHOLE,
        "models": {
            model.name: {"base_ns": model.base_ns, "slope_ns": model.slope_ns} for model in MODELS
        },
        "worst": {f"{model}_ns": round(ns, _NS_DIGITS) for model, ns in worst.items()},
        "mhz": {model: round(1000 / ns, 1) for model, ns in worst.items()},
        "resets": _resets(nets, copies),
        "blocks": [_block(block, copies[block], timings) for block in found],
    }


def _block(
    name: str, copies: int, timings: Mapping[str, Mapping[str, BlockTiming]]
) -> dict[str, Any]:
    limits = limits_of(name)
    return {
        "name": name,
        "copies": copies,
        "worst": {
            f"{model}_ns": round(found[name].worst_ns, _NS_DIGITS)
            for model, found in timings.items()
        },
        "limits": {f"{model}_ns": ns for model, ns in limits.items()},
        "within": all(found[name].worst_ns <= limits[model] for model, found in timings.items()),
        "paths": [
            _path(path, model) for model, found in timings.items() for path in found[name].paths
        ],
    }


def _path(path: Path, model: str) -> dict[str, Any]:
    file, line = _file_and_line(path.end_place)
    start_file, start_line = _file_and_line(path.start_place)
    return {
        "model": model,
        "ns": round(path.ns, _NS_DIGITS),
        "levels": path.levels,
        "start": path.start,
        "start_file": start_file,
        "start_line": start_line,
        "end": path.end,
        "file": file,
        "line": line,
        "through": list(path.through),
        "notes": list(path.marks),
    }


def _file_and_line(place: str) -> tuple[str | None, int | None]:
    """Of "file:line"; None where nothing is known."""
    file, _, line = place.rpartition(":")
    return (file, int(line)) if file and line.isdigit() else (None, None)


def _resets(nets: Mapping[str, Netlist], copies: Mapping[str, int]) -> dict[str, Any]:
    """Loads of all resets, blocks with most first."""
    loads = {block: sum(reset_loads(netlist).values()) for block, netlist in nets.items()}
    return {
        "loads": sum(loads[block] * copies[block] for block in loads),
        "limit": MOST_RESET_LOADS,
        "blocks": [
            {"name": block, "copies": copies[block], "loads": loads[block]}
            for block in sorted(loads, key=lambda block: -loads[block] * copies[block])
        ],
    }


def _tables(report: Mapping[str, Any]) -> list[Table]:
    columns = [f"{model.name} ns" for model in MODELS]
    blocks = Table(
        "block", "copies", *columns, "limits", "reset loads", title=f"{report['configuration']}"
    )
    resets = {entry["name"]: entry["loads"] for entry in report["resets"]["blocks"]}
    for block in report["blocks"]:
        worst = [f"{ns:.2f}" for ns in block["worst"].values()]
        limits = " / ".join(f"{ns:g}" for ns in block["limits"].values())
        verdict = limits if block["within"] else f"{limits} EXCEEDED"
        row = (block["name"], str(block["copies"]), *worst, verdict, str(resets[block["name"]]))
        blocks.add_row(*row)
    paths = Table("ns", "levels", "from", "to", "where", title="slowest paths")
    for block in report["blocks"]:
        for model in MODELS:
            for path in block["paths"]:
                if path["model"] == model.name:
                    paths.add_row(*_row(path))
                    break
    return [blocks, paths]


def _row(path: Mapping[str, Any]) -> tuple[str, ...]:
    where = [
        f"{file}:{line}"
        for file, line in (
            (path["start_file"], path["start_line"]),
            (path["file"], path["line"]),
        )
        if file is not None
    ]
    notes = [f"through {', '.join(path['through'])}"] if path["through"] else []
    return (
        f"{path['ns']:.2f} {path['model']}",
        str(path["levels"]),
        path["start"],
        path["end"],
        "\n".join((*where, *notes, *path["notes"])),
    )


@takes_config("tiny")
def timing_command(
    *,
    config: ChosenConfig,
    block: Annotated[
        list[str] | None,
        typer.Option(help="A block alone, may be repeated; the whole chip if left out."),
    ] = None,
    paths: Annotated[int, typer.Option(help="Paths of each block under each model.")] = 10,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Slowest paths of every block and between blocks, modelled on synthesised netlists."""
    try:
        report = timing_report(
            config.name, config.config, blocks=block or (), most=paths, jobs=jobs
        )
    except SynthesisError as error:
        raise ValueError(str(error)) from error
    if as_json:
        print_json(report)
        return
    show(*_tables(report))
    worst, mhz = report["worst"], report["mhz"]
    for model in MODELS:
        ns = worst[f"{model.name}_ns"]
        say(f"{model.name}: {ns:.2f} ns at worst, {mhz[model.name]:g} MHz")
    resets = report["resets"]
    say(f"resets: {resets['loads']} loads, {resets['limit']} at most")
    say(f"{report['label']}; {report['assumed']}")
