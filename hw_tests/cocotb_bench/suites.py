# SPDX-License-Identifier: Apache-2.0
"""The cocotb suites of a whole accelerator: which there are, and how one is run on Verilog that
lies in a folder.

Every suite runs on `meadow_top`, between cocotbext-axi's masters and memories, so that all share
one build: the benches of a unit run programs that are all about the unit, and the golden machine
says what they must leave in memory.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocotb_bench.coverage import COVERAGE_VARIABLE, markdown, read_seen, report
from cocotb_bench.design import MANIFEST_VARIABLE
from cocotb_bench.uninitialised import without_initial_values
from cosim.generate import generated_verilog
from hw_tests.cocotb_runner import build_and_test, changed_variables
from meadow.spec.config import AcceleratorConfig
from rtl_gen.export import TOP_NAME

__all__ = [
    "SUITES",
    "TOP_VARIABLE",
    "Design",
    "Suite",
    "design_in",
    "design_of",
    "has_icarus",
    "run_suite",
]

_ROOT = Path(__file__).parents[2]
TOP_VARIABLE = "MEADOW_COCOTB_TOP"
"""Environment variable that names the Verilog to test in place of what is generated."""
RESULTS_VARIABLE = "MEADOW_COCOTB_RESULTS"
"""Environment variable that names the folder for the coverage; by default nothing is kept."""
COVERAGE_JSON, COVERAGE_TEXT = "coverage.json", "coverage.md"


@dataclass(frozen=True)
class Suite:
    """A bench; what is run of it by Icarus Verilog, each in a simulation of its own, and what for a
    quick look, as regular expressions for names of tests.
    """

    module: Path
    icarus: tuple[str, ...]
    smoke: str


def _here(name: str) -> Path:
    return Path(__file__).with_name(f"bench_{name}.py")


SUITES = {
    "chip": Suite(
        _ROOT / "examples" / "cocotb" / "bench_chip.py",
        icarus=(r"prefill_and_decode/model=4/rests=0.3", r"answer=SLVERR", r"busy_device"),
        smoke=r"prefill_and_decode/model=[01]/rests=0.3|two_seq|error_resp|soft=False",
    ),
    "attention": Suite(_here("attention"), icarus=(), smoke=r"number=0$"),
    "decoder": Suite(
        _here("decoder"), icarus=(r"right.*number=0$", r"wrong.*number=0$"), smoke=r"number=0$"
    ),
    "sequencer": Suite(_here("sequencer"), icarus=(), smoke=r"opcode=(LOAD|VECTOR)$"),
    "dma": Suite(_here("dma"), icarus=tuple(f"loaded.*={n}$" for n in range(3)), smoke=r"=0$"),
}


@dataclass(frozen=True)
class Design:
    """Verilog, and the manifest beside it."""

    verilog: Path
    manifest: Path

    @property
    def config(self) -> AcceleratorConfig:
        """Its configuration."""
        return AcceleratorConfig.from_dict(self._facts()["parameters"])

    @property
    def top(self) -> str:
        """Its top module."""
        return self._facts()["top"]

    def _facts(self) -> dict[str, Any]:
        return json.loads(self.manifest.read_text("utf-8"))


def design_of(config: AcceleratorConfig, folder: Path) -> Design:
    """The design that the user has named, or that of a configuration, written to `folder`."""
    chosen = os.environ.get(TOP_VARIABLE)
    if chosen:
        return Design(Path(chosen), Path(chosen).with_name("manifest.json"))
    return design_in(folder, config, generated_verilog(config))


def design_in(folder: Path, config: AcceleratorConfig, verilog: str) -> Design:
    """A design of such a configuration, written to `folder`."""
    design = Design(folder / "meadow.v", folder / "manifest.json")
    design.verilog.write_text(verilog, "utf-8")
    facts = {"parameters": config.to_dict(), "top": TOP_NAME}
    design.manifest.write_text(json.dumps(facts), "utf-8")
    return design


def has_icarus() -> bool:
    """Whether Icarus Verilog is installed."""
    return shutil.which("iverilog") is not None and importlib.util.find_spec("cocotb") is not None


def run_suite(
    name: str,
    design: Design,
    *,
    seed: int,
    simulator: str = "verilator",
    smoke: bool = False,
    coverage: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Number of the cocotb tests that ran; AssertionError if one failed.

    Icarus Verilog gets the text without initial values, and the part of the suite that it can run
    in minutes. There only the first test of a simulation begins with nothing known.
    """
    suite = SUITES[name]
    text = design.verilog.read_text("utf-8")
    runs: tuple[str | None, ...] = (suite.smoke if smoke else None,)
    if simulator == "icarus":
        text, _, _ = without_initial_values(text)
        runs = suite.icarus
    variables = {MANIFEST_VARIABLE: str(design.manifest.resolve()), **(environment or {})}
    # cocotbext-axi uses what cocotb 2 calls by other names; that says nothing about the design.
    variables |= {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    if coverage is not None:
        variables[COVERAGE_VARIABLE] = str(coverage)
    with changed_variables(variables):
        return sum(
            build_and_test(
                text,
                toplevel=design.top,
                module=suite.module,
                seed=seed,
                simulator=simulator,
                only=only,
            )
            for only in runs
        )


def covered_chip(design: Design, folder: Path, *, seed: int) -> int:
    """Number of the tests of the whole-chip bench; AssertionError if one failed, or if they leave a
    hole in the coverage without a reason. The coverage is written to `folder`.
    """
    seen = folder / "coverage.jsonl"
    seen.unlink(missing_ok=True)
    count = run_suite("chip", design, seed=seed, coverage=seen)
    facts = report(design.config, read_seen(seen))
    (folder / COVERAGE_JSON).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (folder / COVERAGE_TEXT).write_text(markdown(facts), "utf-8")
    holes = facts["holes"]
    assert isinstance(holes, list)
    missing = [f"{hole['group']}: {hole['point']}" for hole in holes if not hole["reason"]]
    assert not missing, f"not covered: {', '.join(missing)}"
    return count
