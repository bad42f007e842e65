# SPDX-License-Identifier: Apache-2.0
"""The proof library finds what is wrong, and says when there is nothing to find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hw_tests.formal.axi_rules import stays
from hw_tests.formal.bench import Bench
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import ABC_BMC, ABC_PDR, Z3, prove, refute, run
from rtl_gen.blocks.skid import Skid

pytestmark = pytest.mark.formal


_IMPORT_ALL = """
import importlib, sys
flags = sys.getdlopenflags()
for name in sys.argv[1:]:
    importlib.import_module(f"hw_tests.formal.{name}")
print(sys.getdlopenflags() == flags, "pyosys" in sys.modules)
"""


@pytest.mark.quick
def test_imports_leave_the_loader_alone() -> None:
    """pyosys makes symbols of every later extension module global, which breaks some of them; a
    worker has many.
    """
    folder = Path(__file__).parent
    names = sorted(path.stem for path in folder.glob("*.py"))
    assert "prover" in names
    command = [sys.executable, "-c", _IMPORT_ALL, *names]
    done = subprocess.run(command, cwd=folder.parents[1], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["True", "False"], "")


def skid_bench(skid: type = Skid) -> Bench:
    component = skid(shape=4)
    bench = Bench("skid")
    bench.add(component)
    out = component.o
    bench.check("stable", stays(bench, out.valid, out.ready, out.payload))
    bench.cover("full", ~component.i.ready)
    return bench


@pytest.mark.parametrize(
    ("mode", "engine"), [("bmc", Z3), ("bmc", ABC_BMC), ("prove", Z3), ("prove", ABC_PDR)]
)
def test_engines_agree(tmp_path: Path, mode: str, engine: str) -> None:
    assert prove(skid_bench(), tmp_path, mode=mode, depth=20, engine=engine).failed == ()


@pytest.mark.quick
@pytest.mark.parametrize("engine", [Z3, ABC_BMC])
def test_counterexample(tmp_path: Path, engine: str) -> None:
    wrong = mutant(Skid, "m.If(~self.o.valid | self.o.ready)", "m.If(1)")
    result = refute(skid_bench(wrong), tmp_path, "stable", depth=6, engine=engine)
    assert result.failed == ("stable",)
    assert result.trace is not None and result.trace.stat().st_size > 0


@pytest.mark.quick
def test_a_pattern_that_no_check_has_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="skid has no check 'stabel', only stable"):
        prove(skid_bench(), tmp_path, mode="bmc", depth=4, only="stabel")


@pytest.mark.quick
def test_a_check_that_is_left_out_does_not_fail(tmp_path: Path) -> None:
    bench = skid_bench()
    bench.check("false", 0)
    assert run(bench, tmp_path, mode="bmc", depth=4, only="stable").status == "PASS"
    assert run(bench, tmp_path, mode="bmc", depth=4).failed == ("false",)


def test_unreached_cover(tmp_path: Path) -> None:
    bench = skid_bench()
    bench.cover("impossible", ~bench.started & bench.past(1))
    result = run(bench, tmp_path, mode="cover", depth=6)
    assert (result.status, result.failed) == ("FAIL", ("impossible",))


def test_assumptions_that_cannot_hold(tmp_path: Path) -> None:
    bench = skid_bench()
    bench.assume(bench.started)
    assert run(bench, tmp_path, mode="bmc", depth=4).status == "ERROR"


def test_rules_hold_outside_of_conditions(tmp_path: Path) -> None:
    bench = Bench("condition")
    signal = bench.free("signal")
    with bench.m.If(0):
        past = bench.past(signal)
        bench.check("never", ~past)
    refute(bench, tmp_path, "never", depth=4)


@pytest.mark.quick
def test_a_mutant_needs_its_text() -> None:
    with pytest.raises(ValueError, match="holds 'no such text' 0 times, not once"):
        mutant(Skid, "no such text", "")
    with pytest.raises(ValueError, match="Skid does not use Queue"):
        mutant(Skid, "", "", Queue=Skid)


@pytest.mark.quick
def test_a_probe_needs_one_signal() -> None:
    probe = Bench("probe").add(Skid(shape=4))
    with pytest.raises(KeyError, match="0 signals 'missing'"):
        probe["missing"]
    assert len(probe["spare_valid"]) == 1
