# SPDX-License-Identifier: Apache-2.0
"""What `meadow generate --unit` writes, and its cocotb bench."""

from __future__ import annotations

from pathlib import Path

from cocotb_bench.design import MANIFEST_VARIABLE
from hw_tests.cocotb_bench.suites import Design
from hw_tests.cocotb_runner import build_and_test, changed_variables
from rtl_gen.blocks.prefix import PREFIX
from workbench.configurations.chosen import choose_config
from workbench.single.folder import write_unit

__all__ = ["DECODER_BENCH", "run_bench", "unit_in"]

DECODER_BENCH = Path(__file__).parents[2] / "examples" / "cocotb" / "bench_decoder.py"


def unit_in(folder: Path, unit: str, config: str) -> Design:
    """A unit alone, written to `folder`."""
    write_unit(folder, unit, choose_config(config), PREFIX, lambda line: None)
    return Design(folder / f"{unit}.v", folder / "manifest.json")


def run_bench(
    bench: Path, verilog: str, design: Design, *, seed: int, top: str, only: str | None = None
) -> int:
    """Number of the cocotb tests that ran on this text; AssertionError if one failed."""
    variables = {MANIFEST_VARIABLE: str(design.manifest.resolve())}
    variables |= {"PYTHONWARNINGS": "ignore::DeprecationWarning", "COCOTB_MAX_FAILURES": "1"}
    with changed_variables(variables):
        return build_and_test(verilog, toplevel=top, module=bench, seed=seed, only=only)
