# SPDX-License-Identifier: Apache-2.0
"""Ten faults drawn from the mutation netlist, two of each of five units: does the cocotb suite that
owns the unit find them?

`make cocotb-faults SEED=n`. Found is what makes a test fail, or a program take other cycles. More
are drawn than are needed: one that is proven to compute the same as the design is no fault, and the
next takes its place.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cocotb_bench.device import TIMES_VARIABLE
from hw_tests.cocotb_bench.suites import Design, design_in, run_suite
from hw_tests.mutation.equivalence import equivalent_numbers
from hw_tests.mutation.mutant import MUTANT_VARIABLE, Mutant
from hw_tests.mutation.netlist import Mutants, mutated_verilog
from meadow.spec.commands import CHECK_BYTES, COMMAND_BYTES, Opcode, command_fields
from meadow.spec.config import AcceleratorConfig, named_config

__all__ = ["FAULT_UNITS", "OWNERS", "Found", "chosen_faults", "find_faults", "is_of_no_port"]

CONFIG = "tiny"
FAULTS, _DRAWN = 2, 5
"""Of each unit."""
FAULT_UNITS = {
    "softmax": ("vector.softmax", "lane.softmax", "lane.reciprocal"),
    "decoder": ("decoder0",),
    "storer": ("storer",),
    "sequencer": ("sequencer",),
    "exponents": ("writer.rounding", "vector.norm.output.rounding", "lane.operand"),
}
"""Units and their modules, as `hw_tests.mutation.mutant.UNITS`."""
OWNERS = {
    "softmax": ("attention",),
    "decoder": ("decoder",),
    "storer": ("dma",),
    "sequencer": ("sequencer", "chip"),
    "exponents": ("chip",),
}
"""Units and the suites that own them."""


@dataclass(frozen=True)
class Found:
    """What became of a fault: "found", "missed", or "equivalent" (it is none)."""

    mutant: Mutant
    outcome: str


def chosen_faults(
    mutants: Sequence[Mutant],
    missed: Callable[[Mutant], bool],
    equivalent: Callable[[Mutant], bool],
) -> list[Found]:
    """The first faults of each unit; a mutant that was missed and is equivalent is passed over."""
    chosen = []
    for unit in FAULT_UNITS:
        left = FAULTS
        for mutant in (one for one in mutants if one.unit == unit):
            if not left:
                break
            outcome = "found"
            if missed(mutant):
                outcome = "equivalent" if equivalent(mutant) else "missed"
            chosen.append(Found(mutant, outcome))
            left -= outcome != "equivalent"
        if left:
            raise ValueError(f"too few of the mutants drawn for {unit} are faults: another seed")
    return chosen


def find_faults(seed: int, log: Callable[[str], None]) -> list[Found]:
    """Run the suites; AssertionError if one fails on the design without a fault."""
    drawn = mutated_verilog(CONFIG, seed=seed, count=_DRAWN * len(FAULT_UNITS), units=FAULT_UNITS)
    with tempfile.TemporaryDirectory() as name:
        design = design_in(Path(name), named_config(CONFIG), drawn.verilog)
        for suite in dict.fromkeys(suite for suites in OWNERS.values() for suite in suites):
            log(f"suite {suite} without a fault")
            _run(suite, design, 0)
        return chosen_faults(
            drawn.mutants,
            lambda mutant: _missed(design, mutant, log),
            lambda mutant: _equivalent(drawn, mutant),
        )


def _run(suite: str, design: Design, number: int) -> str:
    """Run a suite with a mutant; the times of all interrupts."""
    times = design.verilog.with_name(f"{suite}-{number}.txt")
    variables = {MUTANT_VARIABLE: str(number), TIMES_VARIABLE: str(times)}
    variables |= {"COCOTB_MAX_FAILURES": "1"}
    run_suite(suite, design, seed=1, environment=variables)
    return times.read_text("utf-8")


def _missed(design: Design, mutant: Mutant, log: Callable[[str], None]) -> bool:
    return all(_missed_by(suite, design, mutant, log) for suite in OWNERS[mutant.unit])


def _missed_by(suite: str, design: Design, mutant: Mutant, log: Callable[[str], None]) -> bool:
    reference = design.verilog.with_name(f"{suite}-0.txt").read_text("utf-8")
    try:
        times = _run(suite, design, mutant.number)
    except (AssertionError, RuntimeError) as error:  # failed, or the simulator died
        log(f"found by {suite}: {mutant} ({error})")
        return False
    if times != reference:
        log(f"found by {suite}: {mutant} (other cycles)")
        return False
    log(f"not noticed by {suite}: {mutant}")
    return True


def _equivalent(drawn: Mutants, mutant: Mutant) -> bool:
    unread = is_of_no_port(named_config(CONFIG), mutant)
    return unread or bool(equivalent_numbers(drawn.prepared, [mutant]))


def is_of_no_port(config: AcceleratorConfig, mutant: Mutant) -> bool:
    """Whether it changes a bit of a command in which every opcode has nothing, or a field of a port
    that the design has not: the sequencer stores such a bit, and nobody reads it.
    """
    found = re.search(r"\bcommand\[(\d+)\]$", mutant.wire)
    if mutant.unit != "sequencer" or found is None:
        return False
    ports = {f"{name}{port}" for name in ("offset", "beats") for port in range(config.ports)}
    bit, named = int(found[1]), set[str]()
    for opcode in Opcode:
        first = 0
        for field in command_fields(opcode):
            if first <= bit < first + field.bits:
                named.add(field.name)
            first += field.bits
    return bit < 8 * (COMMAND_BYTES - CHECK_BYTES) and all(
        re.fullmatch(r"(offset|beats)\d", name) and name not in ports for name in named
    )


def main() -> int:
    """Exit code 1 if a fault was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = find_faults(arguments.seed, lambda line: print(line, flush=True))
    for one in found:
        print(f"{one.outcome}: {one.mutant}")
    missed = [one for one in found if one.outcome == "missed"]
    print(f"seed {arguments.seed}: {FAULTS * len(FAULT_UNITS) - len(missed)} of ten faults found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
