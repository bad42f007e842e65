# SPDX-License-Identifier: Apache-2.0
"""Which of the mutants drawn are the ten faults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw_tests.cocotb_bench.faults import FAULT_UNITS, OWNERS, chosen_faults, is_of_no_port
from hw_tests.cocotb_bench.suites import SUITES
from hw_tests.mutation.mutant import Mutant
from meadow.spec.config import CONFIGURATIONS


def mutants(count: int) -> list[Mutant]:
    """So many of each unit."""
    common = {"mode": "inv", "module": "m", "cell": "c", "port": "A", "bit": 0, "control": None}
    units = [unit for unit in FAULT_UNITS for _ in range(count)]
    return [
        Mutant(number=number, unit=unit, wire="", sources=(), **common)
        for number, unit in enumerate(units, 1)
    ]


def test_two_of_each_unit() -> None:
    found = chosen_faults(mutants(5), lambda mutant: False, lambda mutant: True)
    assert [one.mutant.number for one in found] == [1, 2, 6, 7, 11, 12, 16, 17, 21, 22]
    assert {one.outcome for one in found} == {"found"}


def test_what_is_no_fault_is_passed_over_and_what_is_one_is_missed() -> None:
    found = chosen_faults(
        mutants(5), lambda mutant: mutant.number in (2, 6), lambda mutant: mutant.number == 2
    )
    outcomes = {one.mutant.number: one.outcome for one in found}
    assert outcomes[2] == "equivalent" and outcomes[3] == "found" and outcomes[6] == "missed"
    assert 8 not in outcomes


def test_a_seed_without_enough_faults_is_named() -> None:
    with pytest.raises(ValueError, match="too few of the mutants drawn for softmax"):
        chosen_faults(mutants(3), lambda mutant: True, lambda mutant: True)


def test_every_unit_has_a_suite() -> None:
    assert OWNERS.keys() == FAULT_UNITS.keys() and {
        suite for suites in OWNERS.values() for suite in suites
    } <= set(SUITES)


@pytest.mark.parametrize(
    ("wire", "unread"),
    [
        ("reader.check.command[434]", True),  # beats3 of a MATMUL
        ("reader.check.command[480]", False),  # of the checksum
        ("reader.check.command[300]", True),  # offset1 or beats1
        ("reader.check.command[70]", False),
        ("entry.index[434]", False),
    ],
)
def test_bits_of_ports_that_are_not_there_are_read_by_nobody(wire: str, unread: bool) -> None:
    mutant = replace(next(m for m in mutants(1) if m.unit == "sequencer"), wire=wire)
    assert is_of_no_port(CONFIGURATIONS["tiny"], mutant) is unread
    if wire.endswith("command[434]"):
        four = replace(CONFIGURATIONS["tiny"], ports=4)
        assert not is_of_no_port(four, mutant)
