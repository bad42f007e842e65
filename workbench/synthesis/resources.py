# SPDX-License-Identifier: Apache-2.0
"""`meadow resources`: what a configuration takes of its device, synthesised block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from boards.device import DEVICES, Device, device_of
from boards.synthesis.counts import KINDS, MANY_LOADS, counts, fanouts
from boards.synthesis.flow import SynthesisError
from boards.timing.resets import reset_loads
from meadow.spec.config import AcceleratorConfig
from workbench.configurations.chosen import ChosenConfig, config_facts
from workbench.console import print_json, say, show
from workbench.options import JobsOption, JsonOption, choices, takes_config
from workbench.progress import log
from workbench.synthesis.netlists import netlists

__all__ = ["resources_command", "resources_report"]

_LABEL = "synthesised with Yosys: nothing is placed, routed or measured on a board"
_COUNTED: Mapping[str, str] = {
    "lut": "lut_absorbed",
    "ff": "ff_absorbed",
    "dsp": "dsp",
    "ramb36": "ramb36",
    "uram": "uram",
}
"""What the device has -> what of the sum is compared with it."""


def resources_report(
    name: str, config: AcceleratorConfig, device: Device, *, jobs: int | None = None
) -> dict[str, Any]:
    """JSON-ready counts of every block, of one copy, and of the chip, beside the device.

    `synthesise` of `boards.synthesis.flow` makes the netlists; SynthesisError if it fails.
    """
    found = netlists(config, log, jobs=jobs)
    blocks: list[dict[str, Any]] = []
    for block, netlist in found.values():
        log(f"counting {block.name}")
        entry = {"name": block.name, "copies": block.copies, **counts(netlist)}
        entry["reset_loads"] = sum(reset_loads(netlist).values())
        entry["fanouts"] = [asdict(fanout) for fanout in fanouts(netlist)]
        blocks.append(entry)
    total = {
        kind: sum(entry[kind] * entry["copies"] for entry in blocks)
        for kind in (*KINDS, "reset_loads")
    }
    shares = {
        kind: round(100 * total[counted] / device.limits[kind], 1)
        for kind, counted in _COUNTED.items()
        if device.limits[kind]
    }
    return {
        "configuration": name,
        **config_facts(config),
        "label": _LABEL,
        "blocks": blocks,
        "total": total,
        "device": {
            "name": device.name,
            "part": device.part,
            "limits": dict(device.limits),
            "shares_percent": shares,
            "fits": all(total[_COUNTED[kind]] <= limit for kind, limit in device.limits.items()),
        },
    }


def _tables(report: Mapping[str, Any]) -> list[Table]:
    kinds = (*KINDS, "reset_loads")
    heads = [kind.replace("_", " ") for kind in kinds]
    table = Table("block", "copies", *heads, title=f"{report['configuration']}, one copy each")
    for block in report["blocks"]:
        table.add_row(block["name"], str(block["copies"]), *_cells(block, kinds))
    table.add_section()
    table.add_row("all", "", *_cells(report["total"], kinds))
    nets = Table("block", "net", "loads", "where", title=f"nets above {MANY_LOADS:,} loads")
    for block in report["blocks"]:
        for net in block["fanouts"]:
            nets.add_row(block["name"], net["name"], f"{net['loads']:,}", net["place"])
    device = report["device"]
    shares = Table("", "takes", "of", "%", title=f"{device['part']}, DSP registers absorbed")
    for kind, limit in device["limits"].items():
        taken = report["total"][_COUNTED[kind]]
        share = device["shares_percent"].get(kind)
        percent = "" if share is None else f"{share:.1f}"
        shares.add_row(kind, f"{taken:,}", f"{limit:,}", percent)
    return [table, nets, shares]


def _cells(entry: Mapping[str, Any], kinds: tuple[str, ...]) -> list[str]:
    return [f"{entry[kind]:,}" for kind in kinds]


@takes_config("tiny")
def resources_command(
    *,
    config: ChosenConfig,
    device: Annotated[
        str | None,
        typer.Option(
            help=f"{choices(DEVICES)}; if left out, that of the configuration, or of the one that "
            f"it starts from, or {device_of(None).name}."
        ),
    ] = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what a configuration takes of its device, block by block, synthesised.

    Absorbed means without what a DSP48E2 can take in: whole registers A1, A2, B1, B2, C, M and P of
    its multiplier or adder that nothing else looks at, and the adder behind a product with its
    register P. Adders that ask for a DSP48E2 count as one each.
    """
    if device is not None and device not in DEVICES:
        raise ValueError(f"unknown device {device!r}: choose from {', '.join(DEVICES)}")
    of = device_of(config.base) if device is None else DEVICES[device]
    try:
        report = resources_report(config.name, config.config, of, jobs=jobs)
    except SynthesisError as error:
        raise ValueError(str(error)) from error
    report["device"]["why"] = why = _why(of, config, asked=device is not None)
    if as_json:
        print_json(report)
        return
    show(*_tables(report))
    fits = "fits" if report["device"]["fits"] else "DOES NOT FIT"
    say(f"{of.name}: {fits}; {report['label']}")
    say(f"{of.name} is {why}")


def _why(device: Device, config: ChosenConfig, *, asked: bool) -> str:
    """Why a configuration is counted against this device."""
    if asked:
        return "what --device asks for"
    if device.config_name == config.base:
        return f"what {config.base} is made for"
    return f"the default: {config.name} is made for no device, and --device names another"
