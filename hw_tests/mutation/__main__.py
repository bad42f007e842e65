# SPDX-License-Identifier: Apache-2.0
"""`make mutation`: mutants of the tiny configuration, how many the battery notices, and which it
does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys


def main() -> int:
    """Exit code 1 if the share that is noticed is below `--least`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the mutants")
    parser.add_argument("--mutants", type=int, default=240, help="in the build")
    parser.add_argument("--sample", type=int, default=0, help="try so many of them only; 0: all")
    parser.add_argument("--number", type=int, action="append", help="try this one of them only")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--least", type=float, default=0.9, help="score for exit code 0")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    arguments = parser.parse_args()
    # Threads of BLAS in several processes wait for each other; NumPy reads this when it is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from hw_tests.mutation.battery import run_battery
    from workbench.progress import log, settle, tick

    def told(done: int, survivors: int, total: int, line: str) -> None:
        if sys.stderr.isatty():
            tick(f"{done} of {total} mutants, {survivors} survive")
        else:
            log(f"{done} of {total}: {line}")

    result = run_battery(
        seed=arguments.seed,
        count=arguments.mutants,
        sampled=arguments.sample,
        numbers=arguments.number or (),
        workers=arguments.workers,
        log=log,
        told=told,
    )
    settle()
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        print(
            f"{result['killed']} of {result['mutants']} mutants noticed "
            f"({result['score_of_all']:.3f}); "
            f"without {result['equivalent']} that are proven to be the design: "
            f"{result['score']:.3f}"
        )
        for unit, facts in result["per_unit"].items():
            print(f"  {unit}: {facts['killed']} of {facts['mutants']}")
        for one in result["survivors"]:
            where = f"{one['module']} {one['cell']}.{one['port']}[{one['bit']}] {one['wire']}"
            mode = one["mode"] if one["control"] is None else f"{one['mode']} [{one['control']}]"
            what = "equivalent" if one["equivalent"] else "survives"
            print(f"{what}: {one['number']} {mode} {where} {' '.join(one['sources'])}")
    return 0 if result["score"] >= arguments.least else 1


if __name__ == "__main__":
    sys.exit(main())
