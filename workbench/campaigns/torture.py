# SPDX-License-Identifier: Apache-2.0
"""`meadow torture`: random programs with faults on the simulated chip; each fault must be told, and
none may last.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import typer

from cosim.generate import generated_verilog
from cosim.library import ProtocolError, SimulationError
from cosim.verilator_build import build_library
from firmware.device import DeviceError, DeviceTimeout, RegisterError
from meadow.spec.checks import check_least
from meadow.spec.registers import ErrorCode
from workbench.campaigns.torture_bench import TortureBench
from workbench.campaigns.torture_events import EVENTS
from workbench.campaigns.torture_faults import MEMORY_FAULTS
from workbench.campaigns.torture_model import draw_settings
from workbench.campaigns.torture_outcome import Outcome
from workbench.campaigns.torture_scene import Failure, Hang, Scene, SilentError, WrongResult
from workbench.configurations.chosen import ChosenConfig, choose_config, config_facts
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.options import JsonOption, seed_option, takes_config
from workbench.progress import log, tick

__all__ = ["FAULTS", "campaign", "run_program", "torture_command"]

FAULTS = MEMORY_FAULTS | EVENTS
_WEIGHTS = {"sealed": 3.0, "slave_error": 2.0, "command": 2.0, "soft_reset": 2.0, "silence": 2.0}
"""How often a kind is drawn; the others 1."""

_TINY = choose_config("tiny")
_STEPS = 16
_FAULTY = 0.75
_PREFILL = 0.15
_VERDICTS = ("reported", "obeyed", "refused", "right", "stopped")
_FAILURES = ("hangs", "wrong_results", "silent_errors", "protocol_errors")
_KEPT_FAILURES = 20


class _Tally:
    """What the campaign has seen so far."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.kinds: dict[str, Counter[str]] = {}
        self.codes: Counter[str] = Counter()
        self.failures: list[str] = []

    def fault(self, kind: str, outcome: Outcome) -> None:
        """Count a fault that went as it must."""
        self.counts["faults"] += 1
        of_kind = self.kinds.setdefault(kind, Counter())
        of_kind.update(("faults", outcome.verdict))
        if outcome.code != ErrorCode.NONE:
            self.codes[outcome.code.name] += 1

    def failure(self, number: int, place: str, key: str, text: str) -> None:
        """Count what must not be."""
        self.counts[key] += 1
        self.failures.append(f"seed {self.seed}, program {number}, {place}: {key}: {text}")


def _recovers(bench: TortureBench, scene: Scene, outcome: Outcome) -> None:
    """The window after a fault is what it may be; then the same step, without a reset, is right."""
    bench.check_bounds()
    memory = bench.device.memory
    if outcome.memory == "right":
        bench.compare_memory(scene)
    if outcome.memory != "free":
        wrong = scene.strays(memory, bench.planted)
        if len(wrong):
            raise SilentError(f"{len(wrong)} bytes stand that are wrong, first {wrong[0]:#x}")
    if outcome.memory == "free" or not np.array_equal(bench.planted, scene.before):
        memory[:] = scene.before
    bench.good_step(scene)


def _faulty_step(bench: TortureBench, kind: str) -> Outcome:
    """A step with one fault, and the same step again."""
    scene = bench.prepare(bench.draw_plan())
    outcome = FAULTS[kind](bench, scene)
    _recovers(bench, scene, outcome)
    return outcome


def _good_step(bench: TortureBench) -> None:
    """A step without a fault, or a whole prompt in chunks."""
    plan = bench.draw_plan()
    if bench.fixed is not None or not bench.description.causal or bench.random.random() > _PREFILL:
        bench.good_step(bench.prepare(plan))
        return
    sequence = next(iter(plan.tokens))
    context = bench.image.manifest.context
    reach = bench.session.positions[sequence]
    bench.rewind(sequence, int(bench.random.integers(bench.first_position, reach + 1)))
    room = context - bench.session.positions[sequence]
    if room:
        size = int(bench.random.integers(1, room + 1))
        limit = min(size, bench.image.manifest.chunk_tokens)
        chunk = int(bench.random.integers(max(1, limit // 3), limit + 1))
        bench.prefill(sequence, bench.draw_tokens(size), chunk)


def run_program(number: int, chosen: ChosenConfig, tally: _Tally) -> None:
    """One random program, of which everything is drawn from (seed, number): a model and its steps
    on a fresh chip.
    """
    random = np.random.default_rng([tally.seed, number])
    tally.counts["programs"] += 1
    bench = TortureBench(random, chosen, log)
    place, planted = "step 0", False
    weights = np.array([_WEIGHTS.get(kind, 1.0) for kind in FAULTS])
    try:
        for step in range(_STEPS):
            kind = str(random.choice(list(FAULTS), p=weights / weights.sum()))
            planted = step > 0 and bool(random.random() < _FAULTY)
            place = f"step {step}" + (f" ({kind})" if planted else "")
            tick(f"program {number}, {place}")
            if planted:
                outcome = _faulty_step(bench, kind)
                if outcome.verdict == "missed":
                    tally.counts["missed"] += 1
                else:
                    tally.fault(kind, outcome)
                    tally.counts["recoveries"] += 1
            else:
                _good_step(bench)
            bench.set_memory(draw_settings(random))
    except (Failure, DeviceError, DeviceTimeout, RegisterError, SimulationError) as error:
        if planted:
            tally.counts["faults"] += 1
            tally.kinds.setdefault(kind, Counter())["faults"] += 1
        tally.failure(number, place, *_told(error))
    finally:
        tally.counts["doorbells"] += bench.doorbells
        tally.counts["cycles"] += bench.simulation.cycle
        try:
            bench.close()
        except ProtocolError as error:
            tally.failure(number, place, *_told(error))


def _told(error: Exception) -> tuple[str, str]:
    """Key and text of a failure; outside a fault an error or a refused register makes a step
    wrong.
    """
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, Failure):
        return error.key, str(error)
    if isinstance(error, ProtocolError):
        return "protocol_errors", text
    if isinstance(error, (DeviceTimeout, SimulationError)):
        return Hang.key, text
    return WrongResult.key, text


def campaign(
    seed: int,
    *,
    chosen: ChosenConfig = _TINY,
    seconds: float | None = None,
    programs: int | None = None,
    only: int | None = None,
    tick: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The report of random programs until the time is over, building not counted, or so many have
    run; `only` runs that one.
    """
    config = chosen.config
    build_library(generated_verilog(config, log=log), ports=config.ports, log=log)
    began = time.monotonic()
    tally = _Tally(seed)
    number = 0 if only is None else only
    while only is None or number == only:
        run_program(number, chosen, tally)
        number += 1
        tick(f"{tally.counts['programs']} programs, {tally.counts['faults']} faults")
        over = seconds is not None and time.monotonic() - began >= seconds
        if over or (programs is not None and number >= programs):
            break
    counts = tally.counts
    keys = ("programs", "faults", "hangs", "wrong_results", "silent_errors", "recoveries")
    return {
        **{key: counts[key] for key in keys},
        "protocol_errors": counts["protocol_errors"],
        "seed": seed,
        "config": chosen.name,
        **config_facts(config),
        "seconds": round(time.monotonic() - began, 1),
        "doorbells": counts["doorbells"],
        "cycles": counts["cycles"],
        "by_kind": {
            kind: {key: tally.kinds[kind][key] for key in ("faults", *_VERDICTS)}
            for kind in FAULTS
            if kind in tally.kinds
        },
        "by_code": {code.name: tally.codes[code.name] for code in ErrorCode if code},
        "first_failure": tally.failures[0] if tally.failures else None,
        "failures": tally.failures[:_KEPT_FAILURES],
        "label": "simulated",
    }


@takes_config("tiny")
def torture_command(
    seconds: Annotated[
        float | None, typer.Option(help="Time to run; 60 without --programs.")
    ] = None,
    seed: Annotated[int, seed_option("everything that is drawn")] = 0,
    programs: Annotated[int | None, typer.Option(help="Programs to run at most.")] = None,
    only: Annotated[
        int | None, typer.Option(help="Run just this program again, as a failure names it.")
    ] = None,
    *,
    config: ChosenConfig,
    as_json: JsonOption = False,
) -> None:
    """Random programs with errors of the bus, damaged streams and commands, resets and a silent
    memory.

    Every fault must be reported as what it is, nothing outside its place may change, and the next
    step must equal golden without a reset. Exit code 1 if one did not.
    """
    for name, value, least in (
        ("seconds", seconds, 0.1),
        ("seed", seed, 0),
        ("programs", programs, 1),
        ("only", only, 0),
    ):
        check_least(name, value, least)
    if seconds == math.inf:
        raise ValueError(f"seconds must be finite, not {seconds}")
    if seconds is None and programs is None:
        seconds = 60.0
    log(f"random programs with faults on {config.name}, seed {seed}")
    report = campaign(seed, chosen=config, seconds=seconds, programs=programs, only=only, tick=tick)
    if as_json:
        print_json(report)
    else:
        say(
            f"{report['programs']} programs on {config.name} (simulated), "
            f"{report['faults']} faults, {report['recoveries']} correct steps after them; "
            + ", ".join(f"{report[key]} {key.replace('_', ' ')}" for key in _FAILURES)
        )
    if any(report[key] for key in _FAILURES):
        again = f"--seed {seed} {config.arguments} --only"
        say(f"meadow: {report['first_failure']} (replay: {again} with its program)", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
