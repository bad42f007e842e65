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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cocotb_bench.coverage import COVERAGE_VARIABLE
from cocotb_bench.design import MANIFEST_VARIABLE
from cocotb_bench.uninitialised import without_initial_values
from cosim.generate import generated_verilog
from hw_tests.cocotb_runner import build_and_test
from meadow.spec.config import AcceleratorConfig
from rtl_gen.export import TOP_NAME

__all__ = ["SUITES", "TOP_VARIABLE", "Design", "Suite", "design_of", "has_icarus", "run_suite"]

_ROOT = Path(__file__).parents[2]
TOP_VARIABLE = "MEADOW_COCOTB_TOP"
"""Environment variable that names the Verilog to test in place of what is generated."""


@dataclass(frozen=True)
class Suite:
    """A bench; what is run of it by Icarus Verilog (None: nothing) and what for a quick look, as
    regular expressions for names of tests.
    """

    module: Path
    icarus: str | None
    smoke: str


def _here(name: str) -> Path:
    return Path(__file__).with_name(f"bench_{name}.py")


SUITES = {
    "chip": Suite(
        _ROOT / "examples" / "cocotb" / "bench_chip.py",
        icarus=r"prefill_and_decode/model=4/rests=0.3|answer=SLVERR|busy_device",
        smoke=r"prefill_and_decode/model=[01]/rests=0.3|two_seq|error_resp|soft=False",
    ),
    "attention": Suite(_here("attention"), icarus=None, smoke=r"number=0$"),
    "decoder": Suite(_here("decoder"), icarus=r"(right|wrong).*number=0$", smoke=r"number=0$"),
    "dma": Suite(_here("dma"), icarus=r"loaded.*number=0$", smoke=r"number=0$"),
}


@dataclass(frozen=True)
class Design:
    """Verilog, and the manifest beside it."""

    verilog: Path
    manifest: Path

    @property
    def config(self) -> AcceleratorConfig:
        """Its configuration."""
        manifest = json.loads(self.manifest.read_text("utf-8"))
        return AcceleratorConfig.from_dict(manifest["parameters"])


def design_of(config: AcceleratorConfig, folder: Path) -> Design:
    """The design that the user has named, or that of a configuration, written to `folder`."""
    chosen = os.environ.get(TOP_VARIABLE)
    if chosen:
        return Design(Path(chosen), Path(chosen).with_name("manifest.json"))
    design = Design(folder / "meadow.v", folder / "manifest.json")
    design.verilog.write_text(generated_verilog(config), "utf-8")
    design.manifest.write_text(json.dumps({"parameters": config.to_dict()}), "utf-8")
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
    in minutes.
    """
    suite = SUITES[name]
    text = design.verilog.read_text("utf-8")
    only = suite.smoke if smoke else None
    if simulator == "icarus":
        text, _, _ = without_initial_values(text)
        only = suite.icarus
    variables = {MANIFEST_VARIABLE: str(design.manifest.resolve()), **(environment or {})}
    # cocotbext-axi uses what cocotb 2 calls by other names; that says nothing about the design.
    variables |= {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    if coverage is not None:
        variables[COVERAGE_VARIABLE] = str(coverage)
    with _set(variables):
        return build_and_test(
            text,
            toplevel=TOP_NAME,
            module=suite.module,
            seed=seed,
            simulator=simulator,
            only=only,
        )


@contextmanager
def _set(variables: Mapping[str, str]):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
