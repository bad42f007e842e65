# SPDX-License-Identifier: Apache-2.0
"""The cocotb suites of a whole accelerator, on Verilog in a folder, run from another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cocotb_bench import device
from cocotb_bench.design import MANIFEST_VARIABLE, design_config
from cocotb_bench.small_models import MODELS, models_for
from hw_tests.cocotb_bench.suites import (
    RESULTS_VARIABLE,
    SUITES,
    TOP_VARIABLE,
    Design,
    covered_chip,
    design_of,
    has_icarus,
    run_suite,
)
from hw_tests.marks import long, slow
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.blocks.reset import RESET_CYCLES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cocotb
icarus = pytest.mark.skipif(
    not has_icarus(), reason="no Icarus Verilog: apt-get install -y iverilog"
)


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    """What the user has named, or what `meadow generate` writes into a folder."""
    if os.environ.get(TOP_VARIABLE):
        return design_of(CONFIGURATIONS["tiny"], tmp_path_factory.mktemp("design"))
    folder = tmp_path_factory.mktemp("elsewhere") / "generated"
    command = [sys.executable, "-m", "workbench.cli", "generate", "--config", "tiny"]
    subprocess.run([*command, "--out", str(folder)], cwd=ROOT, check=True)
    return Design(folder / "meadow.v", folder / "manifest.json")


@pytest.mark.parametrize("suite", SUITES)
def test_smoke(design: Design, suite: str) -> None:
    """A part of every suite, for every run."""
    assert run_suite(suite, design, seed=3, smoke=True)


@pytest.mark.parametrize("suite", [slow(suite) for suite in SUITES if suite != "chip"])
def test_suite(design: Design, suite: str) -> None:
    assert run_suite(suite, design, seed=1)


@pytest.mark.slow
def test_the_whole_chip_without_a_hole_in_the_coverage(design: Design, tmp_path: Path) -> None:
    folder = Path(os.environ.get(RESULTS_VARIABLE) or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    assert covered_chip(design, folder, seed=1)


@icarus
@pytest.mark.parametrize("suite", [slow(suite) for suite in ("decoder", "dma", "chip")])
def test_four_states(design: Design, suite: str) -> None:
    """Without initial values: after reset nothing that says something is unknown."""
    assert run_suite(suite, design, seed=1, simulator="icarus")


@pytest.mark.parametrize("ports", [long(2), long(4)])
def test_the_dma_controller_with_more_ports(ports: int, tmp_path: Path) -> None:
    config = replace(CONFIGURATIONS["tiny"], ports=ports)
    assert run_suite("dma", design_of(config, tmp_path), seed=1)


@pytest.fixture
def elsewhere(design: Design, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder with the example, and an environment whose Python refuses all that makes hardware
    or tests it: what a user has who got the Verilog from somebody else.
    """
    folder = tmp_path / "user"
    shutil.copytree(ROOT / "examples" / "cocotb", folder)
    (folder / "sitecustomize.py").write_text(_REFUSAL, "utf-8")
    variables = {name: value for name, value in os.environ.items() if "COV" not in name}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    variables |= {"PATH": path, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    variables |= {MANIFEST_VARIABLE: str(design.manifest), "REFUSED": str(folder / "refused")}
    variables["NOT_TO_IMPORT"] = "rtl_gen cosim boards workbench hw_tests amaranth"
    return folder, variables


_REFUSAL = """\
import os, sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in os.environ["NOT_TO_IMPORT"].split():
            open(os.environ["REFUSED"], "a").write(name + "\\n")
            raise ImportError(f"{name} is refused")

sys.meta_path.insert(0, Refusal())
"""


def test_what_makes_hardware_is_refused_elsewhere(elsewhere: tuple[Path, dict[str, str]]) -> None:
    folder, variables = elsewhere
    command = [sys.executable, "-c", "import rtl_gen.top"]
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert result.returncode and "rtl_gen is refused" in result.stderr


def test_the_example_needs_golden_and_the_helpers_only(
    elsewhere: tuple[Path, dict[str, str]],
) -> None:
    folder, variables = elsewhere
    command = [sys.executable, "-c", "import bench_chip; print(bench_chip.MODELS)"]
    subprocess.run(command, cwd=folder, env=variables, check=True)
    assert not (folder / "refused").exists()


@pytest.mark.parametrize("only", [slow("rests=0.3"), long("")])
def test_the_example_runs_elsewhere_by_its_makefile(
    only: str, design: Design, elsewhere: tuple[Path, dict[str, str]]
) -> None:
    """The whole-chip bench on what `meadow generate` has written, in a folder of the user."""
    folder, variables = elsewhere
    variables["COCOTB_TEST_FILTER"] = only
    command = ["make", f"TOP={design.verilog}", f"COCOTB_TOPLEVEL={design.top}"]
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    assert not (folder / "refused").exists()
    results = ElementTree.parse(folder / "results.xml")
    cases = list(results.iter("testcase"))
    assert len(cases) >= len(MODELS)
    failed = [case.get("name") for case in cases if case.find("failure") is not None]
    assert not failed


def test_the_example_runs_all_models_of_a_design(
    design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MANIFEST_VARIABLE, str(design.manifest))
    from examples.cocotb import bench_chip

    assert bench_chip.MODELS == [model.name for model in MODELS]
    zcu102 = CONFIGURATIONS["zcu102"]
    left_out = {model.name for model in MODELS} - set(models_for(zcu102))
    assert left_out == {"layer by layer"}, "it has no baseline"


def test_a_design_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MANIFEST_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="MEADOW_MANIFEST must name the manifest.json"):
        design_config()


def test_rst_is_held_for_the_least_that_the_hardware_asks_for() -> None:
    """The bench runs where the sources of the hardware are not, and states the number itself."""
    assert device.RESET_CYCLES == RESET_CYCLES
