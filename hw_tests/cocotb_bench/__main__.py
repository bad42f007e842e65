# SPDX-License-Identifier: Apache-2.0
"""`make cocotb`: the cocotb tests with a simulator, a seed, waveforms or a file of one's own.

The one place where these choices become what tests understand: marks, names and variables.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from hw_tests.cocotb_bench.suites import (
    COVERAGE_JSON,
    COVERAGE_TEXT,
    RESULTS_VARIABLE,
    TOP_VARIABLE,
    has_icarus,
)

_ROOT = Path(__file__).parents[2]
_SUITES = "hw_tests/cocotb_bench/test_step_bench.py"
_FOUR_STATES = "test_four_states"


def main() -> int:
    """Exit code of pytest; 2 for what cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sim", choices=("verilator", "icarus"), default="verilator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--waves", action="store_true", help="write waveforms")
    parser.add_argument("--top", type=Path, help="Verilog to test; manifest.json lies beside it")
    arguments = parser.parse_args()
    icarus = arguments.sim == "icarus"
    if icarus and not has_icarus():
        print("no Icarus Verilog: apt-get install -y iverilog", file=sys.stderr)
        return 2
    results = _ROOT / "build" / "cocotb-results"
    covered = results / COVERAGE_TEXT
    covered.unlink(missing_ok=True)
    variables = {RESULTS_VARIABLE: str(results)}
    if arguments.waves:
        variables["WAVES"] = "1"
    if arguments.top is not None:
        for path in (arguments.top, arguments.top.with_name("manifest.json")):
            if not path.is_file():
                print(f"there is no {path}", file=sys.stderr)
                return 2
        variables[TOP_VARIABLE] = str(arguments.top.absolute())
    chosen = ["-k", _FOUR_STATES if icarus else f"not {_FOUR_STATES}"]
    chosen.append(_SUITES if icarus or arguments.top is not None else "hw_tests")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-m", "cocotb and not long"]
    command += ["-n", "2", "--dist", "loadfile", "--seed", str(arguments.seed), *chosen]
    code = subprocess.run(command, cwd=_ROOT, env={**os.environ, **variables}).returncode
    if covered.is_file():
        print(covered.read_text("utf-8"))
        print(f"{covered.with_name(COVERAGE_JSON)} holds how often each point was seen")
    return code


if __name__ == "__main__":
    sys.exit(main())
