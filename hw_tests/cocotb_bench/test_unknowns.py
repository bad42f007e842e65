# SPDX-License-Identifier: Apache-2.0
"""A unit that its reset does not reach is seen as unknown, which the whole chip never is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from hw_tests.cocotb_bench.suites import design_in, has_icarus, run_suite
from meadow.spec.config import CONFIGURATIONS

pytestmark = [
    pytest.mark.cocotb,
    pytest.mark.skipif(not has_icarus(), reason="no Icarus Verilog: apt-get install -y iverilog"),
]


@pytest.mark.parametrize(
    ("unit", "unknown"),
    [
        ("port0", "m_axi0_ar: valid"),
        ("registers", "s_axi_b: valid"),
        ("sequencer", "storer.i_command: valid"),
    ],
)
def test_a_unit_without_its_reset_is_unknown(
    unit: str, unknown: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = CONFIGURATIONS["tiny"]
    text, count = re.subn(
        rf"(  \\meadow_top\.accelerator\.{unit}  {unit} \([^;]*\.block_reset)\([^\n]*\)",
        r"\1(1'h0)",
        generated_verilog(config),
    )
    assert count == 1
    design = design_in(tmp_path, config, text)
    with pytest.raises(AssertionError, match="failed"):
        run_suite("dma", design, seed=1, simulator="icarus")
    assert unknown in capfd.readouterr().out
