# SPDX-License-Identifier: Apache-2.0
"""Mutants against the battery: which are noticed, by what, and which are not."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from hw_tests.mutation.chip import Chip, Reference, Trial
from hw_tests.mutation.mutant import UNITS, Mutant
from meadow.spec.config import AcceleratorConfig

__all__ = ["CYCLES", "Bench", "Outcome", "report", "sample", "survivors"]

CYCLES = "cycles"
"""Name of the last comparison: results are right, but a run takes other cycles than in the
design.
"""

_MUTANT_SECONDS = 300
"""Of processor time. A simulation that takes longer does not come back, which counts as noticed."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: the trial that noticed it (None: none did), and what that said;
    seconds of processor time.
    """

    trial: str | None
    message: str
    seconds: float


class Bench:
    """Batteries on one build, one for each unit; every mutant in a process of its own, because it
    may do anything to it.

    references: what the design itself does, found by runs without a mutant; seconds of processor
    time of each unit's battery. RuntimeError if a trial fails on the design, ValueError if two have
    one name.
    """

    def __init__(
        self, config: AcceleratorConfig, verilog: str, batteries: Mapping[str, Sequence[Trial]]
    ) -> None:
        self.config, self.verilog, self.batteries = config, verilog, batteries
        self._fork = multiprocessing.get_context("fork")
        self.references: dict[str, Reference] | None = None
        everything: dict[str, Trial] = {}
        for trial in (trial for trials in batteries.values() for trial in trials):
            if everything.setdefault(trial.name, trial) is not trial:
                raise ValueError(f"two trials have the name {trial.name!r}")
        receiver, _ = self._start(0, list(everything.values()))
        outcome, self.references, spent = receiver.recv()
        if outcome.trial is not None:
            raise RuntimeError(f"the design itself fails in {outcome.trial}: {outcome.message}")
        self.seconds = {
            unit: round(sum(spent[trial.name] for trial in trials), 1)
            for unit, trials in batteries.items()
        }

    def run(
        self,
        mutants: Sequence[Mutant],
        *,
        workers: int = 2,
        told: Callable[[int, int, int, str], None] = lambda done, survivors, total, line: None,
    ) -> dict[int, Outcome]:
        """Outcome of each mutant by its number; see `battery.run_battery` for `told`."""
        outcomes: dict[int, Outcome] = {}
        surviving = 0
        for mutant, outcome in self._outcomes(list(mutants), workers):
            outcomes[mutant.number] = outcome
            surviving += outcome.trial is None
            found = "survives" if outcome.trial is None else f"{outcome.trial}: {outcome.message}"
            line = f"{mutant}: {found} ({outcome.seconds:.1f} s)"
            told(len(outcomes), surviving, len(mutants), line)
        return outcomes

    def _outcomes(self, waiting: list[Mutant], workers: int) -> Iterator[tuple[Mutant, Outcome]]:
        running: dict[Connection, tuple[Mutant, Any, float]] = {}
        waiting.reverse()
        while waiting or running:
            while waiting and len(running) < workers:
                mutant = waiting.pop()
                trials = self.batteries[mutant.unit]
                receiver, process = self._start(mutant.number, trials)
                running[receiver] = mutant, process, time.monotonic()
            ready = wait(list(running), timeout=1)
            for receiver, (mutant, process, started) in list(running.items()):
                spent = time.monotonic() - started
                if receiver in ready:
                    try:
                        outcome, *_ = receiver.recv()  # pyright: ignore[reportAttributeAccessIssue]
                    except EOFError:
                        outcome = Outcome(
                            "simulation", "the simulator died or did not come back", spent
                        )
                else:
                    continue
                process.join()
                del running[receiver]
                yield mutant, outcome

    def _start(self, number: int, trials: Sequence[Trial]) -> tuple[Connection, Any]:
        receiver, sender = self._fork.Pipe(duplex=False)
        arguments = number, trials, sender
        process = self._fork.Process(target=self._child, args=arguments, daemon=True)
        process.start()
        sender.close()
        return receiver, process

    def _child(self, number: int, trials: Sequence[Trial], sender: Connection) -> None:
        started = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (_MUTANT_SECONDS, _MUTANT_SECONDS))
        chip, name = None, "simulation"
        trial: str | None = None
        message = ""
        spent: dict[str, float] = {}
        try:
            chip = Chip(self.config, self.verilog, number, self.references)
            for entry in trials:
                name, before = entry.name, time.process_time()
                chip.begin(name)
                entry.run(chip)
                spent[name] = time.process_time() - before
            name = "simulation"
            chip.close()
            name = CYCLES
            if self.references is not None:
                chip.compare_cycles()
        except (
            Exception
        ) as error:  # a mutant may break anything; on the design itself it is reported
            trial, message = name, f"{type(error).__name__}: {str(error).splitlines()[0]}"
        outcome = Outcome(trial, message, time.process_time() - started)
        seen = chip.seen if self.references is None and chip is not None else None
        sender.send((outcome, seen, spent))


def sample(mutants: Sequence[Mutant], count: int) -> list[Mutant]:
    """The first mutants of each unit, as many of each; they are in random order already."""
    share = count // len(UNITS)
    chosen = []
    for unit in UNITS:
        chosen += [mutant for mutant in mutants if mutant.unit == unit][:share]
    return chosen


def survivors(mutants: Sequence[Mutant], outcomes: dict[int, Outcome]) -> list[Mutant]:
    """Those that nothing noticed."""
    return [mutant for mutant in mutants if outcomes[mutant.number].trial is None]


def report(
    mutants: Sequence[Mutant], outcomes: dict[int, Outcome], equivalent: Set[int]
) -> dict[str, Any]:
    """Counts, score, and the mutants that nothing noticed.

    equivalent: numbers of the survivors that are proven to be the design. score: killed of all the
    others, as usual for mutants; score_of_all: killed of all.
    """
    left = survivors(mutants, outcomes)
    units = {}
    for unit in ("", *UNITS):
        own = [mutant for mutant in mutants if unit in ("", mutant.unit)]
        killed = len(own) - sum(unit in ("", mutant.unit) for mutant in left)
        same = sum(mutant.number in equivalent for mutant in own)
        units[unit] = {
            "mutants": len(own),
            "killed": killed,
            "equivalent": same,
            "score": round(killed / max(1, len(own) - same), 4),
            "score_of_all": round(killed / max(1, len(own)), 4),
        }
    trials = (outcomes[mutant.number].trial for mutant in mutants)
    by = Counter(trial for trial in trials if trial is not None)
    return {
        **units.pop(""),
        "killed_by_cycles_only": by[CYCLES],
        "per_unit": units,
        "per_trial": dict(by.most_common()),
        "survivors": [
            {**asdict(mutant), "equivalent": mutant.number in equivalent} for mutant in left
        ],
    }
