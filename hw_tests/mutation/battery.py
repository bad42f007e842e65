# SPDX-License-Identifier: Apache-2.0
"""The battery of trials that mutants go through, quick ones first, and a whole mutation check."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from cosim.verilator_build import build_library
from hw_tests.mutation.attention import attention_trials
from hw_tests.mutation.campaign import Bench, report, sample, survivors
from hw_tests.mutation.chip import Trial
from hw_tests.mutation.copies import copy_trials
from hw_tests.mutation.edges import edge_trials
from hw_tests.mutation.equivalence import equivalent_numbers
from hw_tests.mutation.fault_bench import fault_bench
from hw_tests.mutation.faults import fault_trials
from hw_tests.mutation.limits import limit_trials
from hw_tests.mutation.netlist import mutated_verilog
from hw_tests.mutation.ranges import range_trials
from hw_tests.mutation.steps import model_trials
from hw_tests.mutation.stops import stop_trials
from hw_tests.mutation.weights import weight_trials
from meadow.spec.config import named_config

__all__ = ["CONFIG", "batteries", "run_battery"]

CONFIG = "tiny"
_EARLY = 4


def batteries() -> dict[str, list[Trial]]:
    """Trials for each unit, of all kinds that reach it: a few of each first, for what something
    notices is noticed early.
    """
    config = named_config(CONFIG)
    raw = fault_bench(CONFIG, "raw")
    models, faults, stops = (make(CONFIG) for make in (model_trials, fault_trials, stop_trials))
    copies, weights = copy_trials(config), weight_trials(config)
    attention = attention_trials(config)
    limits, edges, ranges = limit_trials(raw), edge_trials(), range_trials(raw)
    kinds = {
        "dma": (models, copies, attention, faults, stops, limits, edges),
        "decoder": (models, weights, attention[:6], faults, stops, edges),
        "sequencer": (models, ranges, faults, stops, limits, edges, copies[:_EARLY]),
        "softmax": (models, attention, stops),
    }
    return {
        unit: [trial for kind in chosen for trial in kind[:_EARLY]]
        + [trial for kind in chosen for trial in kind[_EARLY:]]
        for unit, chosen in kinds.items()
    }


def run_battery(
    *,
    seed: int,
    count: int,
    sampled: int = 0,
    numbers: Sequence[int] = (),
    workers: int = 2,
    log: Callable[[str], None] = lambda text: None,
    told: Callable[[int, int, int, str], None] = lambda done, survivors, total, line: None,
) -> dict[str, Any]:
    """The report on `count` mutants drawn with `seed`, or on some `numbers` of them, or on the
    first `sampled` of them.

    log is told what begins; `told`, of each mutant, how many are done, how many of them survive, of
    how many, and what became of it. RuntimeError if the design without a mutant fails.
    """
    started = time.monotonic()
    config = named_config(CONFIG)
    log(f"making {count} mutants of {CONFIG}, seed {seed}")
    design = mutated_verilog(CONFIG, seed=seed, count=count)
    mutants = design.mutants
    build_library(design.verilog, ports=config.ports, log=log)
    built = time.monotonic()
    trials = batteries()
    log("the batteries on the design itself")
    bench = Bench(config, design.verilog, trials)
    if sampled:
        mutants = sample(mutants, sampled)
    if numbers:
        mutants = [mutant for mutant in mutants if mutant.number in numbers]
    log(f"{len(mutants)} mutants, batteries of seconds {bench.seconds}")
    outcomes = bench.run(mutants, workers=workers, told=told)
    log("which survivors are proven to be the design itself")
    equivalent = equivalent_numbers(design.prepared, survivors(mutants, outcomes))
    return {
        "seed": seed,
        "config": CONFIG,
        **report(mutants, outcomes, equivalent),
        "build_seconds": round(built - started, 1),
        "seconds": round(time.monotonic() - started, 1),
        "trials": {unit: len(chosen) for unit, chosen in trials.items()},
        "trial_seconds": bench.seconds,
    }
