# SPDX-License-Identifier: Apache-2.0
"""The register file as Verilog, against cocotbext-axi's AXI4-Lite master."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.cocotb_runner import build_and_test, generate_verilog
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.interfaces.axi import axi_ports


@pytest.mark.cocotb
def test_lite_registers() -> None:
    dut = LiteRegisters(config=CONFIGURATIONS["tiny"])
    names = ("busy", "stuck", "done_set", "command_index", "program", "start", "soft_reset")
    ports = axi_ports("s_axi", dut.bus)
    ports |= {name: getattr(dut, name) for name in (*names, "interrupt")}
    ports |= {"error_valid": dut.i_error.valid, "increment_cycles": dut.i_counters.cycles}
    source = generate_verilog(dut, "lite_registers", ports)
    bench = Path(__file__).with_name("bench_lite_registers.py")
    assert build_and_test(source, toplevel="lite_registers", module=bench, seed=1) == 3
