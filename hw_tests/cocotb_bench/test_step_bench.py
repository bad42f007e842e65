# SPDX-License-Identifier: Apache-2.0
"""The cocotb suites of a whole accelerator, on Verilog in a folder, run from another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cocotb_bench.coverage import markdown, read_seen, report
from cocotb_bench.design import MANIFEST_VARIABLE, design_config
from cocotb_bench.small_models import MODELS, models_for
from hw_tests.cocotb_bench.suites import (
    SUITES,
    TOP_VARIABLE,
    Design,
    design_of,
    has_icarus,
    run_suite,
)
from hw_tests.marks import long, slow
from meadow.spec.config import CONFIGURATIONS

ROOT = Path(__file__).parents[2]
RESULTS = "MEADOW_COCOTB_RESULTS"
"""Environment variable that names the folder for the coverage; by default nothing is kept."""

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
    folder = Path(os.environ.get(RESULTS) or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    seen = folder / "coverage.jsonl"
    seen.unlink(missing_ok=True)
    assert run_suite("chip", design, seed=1, coverage=seen)
    facts = report(design.config, read_seen(seen))
    (folder / "coverage.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (folder / "coverage.md").write_text(markdown(facts), "utf-8")
    holes = facts["holes"]
    assert isinstance(holes, list) and not [hole for hole in holes if not hole["reason"]]


@icarus
@pytest.mark.parametrize("suite", [slow(suite) for suite in ("decoder", "dma", "chip")])
def test_four_states(design: Design, suite: str) -> None:
    """Without initial values: after reset nothing that says something is unknown."""
    assert run_suite(suite, design, seed=1, simulator="icarus")


@pytest.mark.parametrize("ports", [long(2), long(4)])
def test_the_dma_controller_with_more_ports(ports: int, tmp_path: Path) -> None:
    config = replace(CONFIGURATIONS["tiny"], ports=ports)
    assert run_suite("dma", design_of(config, tmp_path), seed=1)


def test_the_example_needs_golden_and_the_helpers_only(design: Design, tmp_path: Path) -> None:
    """What it imports, in another folder: nothing that makes hardware, and none of our tests."""
    script = (
        "import sys, runpy; runpy.run_path(sys.argv[1])\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "examples" / "cocotb" / "bench_chip.py")],
        cwd=tmp_path,
        env={**os.environ, "MEADOW_MANIFEST": str(design.manifest), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    ours = {"rtl_gen", "cosim", "boards", "workbench", "hw_tests", "amaranth"}
    assert not ours & set(result.stdout.split())


def test_the_example_runs_all_models_of_a_design(
    design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MANIFEST_VARIABLE, str(design.manifest))
    from examples.cocotb import bench_chip

    assert bench_chip.MODELS == [model.name for model in MODELS]
    zcu102 = CONFIGURATIONS["zcu102"]
    left_out = {model.name for model in MODELS} - set(models_for(zcu102))
    assert left_out == {"qwen2", "layer by layer"}, "it has no dictionary and no baseline"


def test_a_design_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MANIFEST_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="MEADOW_MANIFEST must name the manifest.json"):
        design_config()
