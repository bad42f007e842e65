# SPDX-License-Identifier: Apache-2.0
"""A sample of the mutation check: the design passes the battery, few of 20 mutants do; all of them:
`make mutation`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_tests.mutation.campaign import CYCLES, Outcome, report, sample
from hw_tests.mutation.equivalence import equivalent_numbers
from hw_tests.mutation.mutant import UNITS, Mutant
from hw_tests.mutation.netlist import short_sources
from hw_tests.mutation.programs import Program, program_trial, some
from hw_tests.mutation.ranges import Walk
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, Outputs, command_fields
from meadow.spec.config import named_config
from meadow.spec.ranges import check_command, field_ranges
from meadow.spec.step import Sequence, Step

_GATE = """
  cell ${kind} \\{name}
    parameter \\A_SIGNED 0
    parameter \\A_WIDTH 1
    parameter \\B_SIGNED 0
    parameter \\B_WIDTH 1
    parameter \\Y_WIDTH 1
    connect \\A \\{a}
    connect \\B \\{b}
    connect \\Y \\{y}
  end"""
_NETLIST = f"""
module \\unit
  wire input 1 \\a
  wire input 2 \\b
  wire input 3 \\clk
  wire output 4 \\y
  wire \\o
  wire \\z
{_GATE.format(kind="or", name="either", a="a", b="b", y="o")}
{_GATE.format(kind="and", name="both", a="a", b="o", y="z")}
  cell $dff \\kept
    parameter \\CLK_POLARITY 1
    parameter \\WIDTH 1
    connect \\CLK \\clk
    connect \\D \\z
    connect \\Q \\y
  end
end
"""

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 20
LEAST = 0.7
"""14 of 20. The mutants change with the design: of 20 with a score of 0.85 at least 14 are noticed
in 98 of 100 draws.
"""


def mutant(number: int, unit: str) -> Mutant:
    return Mutant(
        number=number,
        unit=unit,
        mode="inv",
        module=f"top.{unit}",
        cell="$1",
        port="Y",
        bit=0,
        control=None,
        wire="",
        sources=(),
    )


@pytest.mark.sim
@pytest.mark.slow
def test_a_sample_of_mutants_is_noticed() -> None:
    # In a process of its own: thousands of threads and open simulations of other tests are not to
    # be forked.
    command = [sys.executable, "-m", "hw_tests.mutation", "--json", "--workers", "1"]
    result = subprocess.run(
        [*command, "--sample", str(SAMPLE), "--least", str(LEAST)],
        cwd=ROOT,
        env={**os.environ, "AMARANTH_USE_YOSYS": "builtin"},
        capture_output=True,
        text=True,
    )
    print(result.stderr[-8000:])
    found = json.loads(result.stdout)
    assert found["mutants"] == SAMPLE
    assert len(found["survivors"]) == SAMPLE - found["killed"]
    assert {unit: facts["mutants"] for unit, facts in found["per_unit"].items()} == dict.fromkeys(
        UNITS, SAMPLE // len(UNITS)
    )
    assert found["score"] >= found["score_of_all"] >= LEAST, found["survivors"]
    assert result.returncode == 0


@pytest.mark.parametrize("opcode", Opcode)
def test_a_walk_knows_good_commands_from_others(opcode: Opcode) -> None:
    config = named_config("tiny")
    walk = Walk(np.random.default_rng(salted(int(opcode))), config, opcode)
    walk.choose_kind()
    for _ in range(400):
        walk.step()
    assert len(walk.good) > 50 and len(walk.bad) > 20
    for command in walk.good:
        check_command(config, command)
        assert command.condition and not command.condition & Outputs.ARGMAX
    for command in walk.bad:
        with pytest.raises(ValueError, match=opcode.name):
            check_command(config, command)


def test_walks_come_to_both_sides_of_every_limit() -> None:
    config = named_config("tiny")
    seen: dict[bool, dict[str, set[int]]] = {True: {}, False: {}}
    for seed in range(40):
        walk = Walk(np.random.default_rng(salted(seed)), config, Opcode.ATTEND)
        walk.choose_kind()
        for _ in range(60):
            walk.step()
        for good, commands in ((True, walk.good), (False, walk.bad)):
            for command in commands:
                for name, value in command.values.items():
                    seen[good].setdefault(name, set()).add(value)
    fields = {field.name: field for field in command_fields(Opcode.ATTEND)}
    for name, (least, most) in field_ranges(config, Opcode.ATTEND).items():
        if name in ("wait", "condition", "flags"):
            continue
        assert {least, most} <= seen[True][name], name
        beyond = {value for value in (least - 1, most + 1) if 0 <= value < 1 << fields[name].bits}
        assert beyond <= seen[False][name], name


def test_numbers_of_random_length() -> None:
    random = np.random.default_rng(salted(1))
    drawn = [some(random, 100, 3) for _ in range(2000)]
    assert (min(drawn), max(drawn)) == (3, 100)
    assert {number.bit_length() for number in drawn} == {2, 3, 4, 5, 6, 7}


def test_a_program_that_fails_on_the_golden_machine_is_refused() -> None:
    step = Step((Sequence(0, 0, 1),))
    wrong = Command(Opcode.LOAD, {"row_beats": 1, "rows": 1, "destination": 1 << 19})
    with pytest.raises(ValueError, match="wrong fails on the golden machine: .'ACTIVATION', 1"):
        program_trial(named_config("tiny"), Program(name="wrong", step=step, commands=[wrong]))


def test_a_sample_has_as_many_of_each_unit() -> None:
    mutants = [mutant(10 * index + n, unit) for index, unit in enumerate(UNITS) for n in range(10)]
    chosen = sample(mutants, 20)
    assert Counter(one.unit for one in chosen) == dict.fromkeys(UNITS, 5)
    assert chosen[:5] == mutants[:5]


@pytest.mark.parametrize("proven", [False, True])
def test_the_score_leaves_out_what_is_proven_to_be_the_design(proven: bool) -> None:
    mutants = [mutant(number, unit) for number, unit in enumerate(UNITS, 1)]
    outcomes = {
        1: Outcome("steps", "a byte differs", 1.0),
        2: Outcome(None, "", 1.0),
        3: Outcome(CYCLES, "slow", 1.0),
        4: Outcome("steps", "hangs", 1.0),
    }
    found = report(mutants, outcomes, {2} if proven else set())
    assert (found["mutants"], found["killed"], found["score_of_all"]) == (4, 3, 0.75)
    assert (found["score"], found["equivalent"]) == ((1.0, 1) if proven else (0.75, 0))
    assert found["killed_by_cycles_only"] == 1
    assert found["per_trial"] == {"steps": 2, CYCLES: 1}
    assert [(one["number"], one["equivalent"]) for one in found["survivors"]] == [(2, proven)]
    unit = {"mutants": 1, "killed": 0, "equivalent": int(proven)}
    assert found["per_unit"][mutants[1].unit] == {**unit, "score": 0.0, "score_of_all": 0.0}


def test_a_mutant_is_proven_equivalent_or_not(tmp_path: Path) -> None:
    """Of y = a & (a | b) the other operand of the OR does not matter, the first one does; of a
    register its D does.
    """
    netlist = tmp_path / "unit.il"
    netlist.write_text(_NETLIST)

    def change(number: int, cell: str, port: str) -> Mutant:
        place = dict(cell=cell, port=port, module="unit", mode="inv")
        return replace(mutant(number, "dma"), **place)

    mutants = [
        change(1, "either", "B"),
        change(2, "either", "A"),
        change(3, "both", "B"),
        change(4, "kept", "D"),
        change(5, "kept", "Q"),
    ]
    assert equivalent_numbers(netlist, mutants) == {1}
    assert equivalent_numbers(netlist, []) == set()
    with pytest.raises(RuntimeError):
        equivalent_numbers(netlist, [change(1, "missing", "A")])


def test_sources_of_mutants_have_no_spaces_and_begin_at_the_checkout() -> None:
    rtlil = f'attribute \\src "{ROOT}/rtl_gen/a.py:80|/a folder/amaranth/b.py:9"\n  wire \\x\n'
    short = 'attribute \\src "rtl_gen/a.py:80|/a_folder/amaranth/b.py:9"\n  wire \\x\n'
    assert short_sources(rtlil) == short
