# SPDX-License-Identifier: Apache-2.0
"""The memory port as Verilog, against cocotbext-axi's memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.cocotb_runner import build_and_test, generate_verilog
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.axi.signatures import axi_ports
from rtl_gen.dma.memory_port import MemoryPort


@pytest.mark.cocotb
def test_memory_port() -> None:
    dut = MemoryPort(config=CONFIGURATIONS["tiny"])
    ports = axi_ports("m_axi0", dut.axi)
    for name in ("i_read", "i_write", "i_write_data", "o_beat"):
        for part in ("payload", "valid", "ready"):
            ports[f"{name}_{part}"] = getattr(getattr(dut, name), part)
    for name in ("window_base", "window_beats", "flush", "idle", "writes_pending"):
        ports[name] = getattr(dut, name)
    source = generate_verilog(dut, "memory_port", ports)
    bench = Path(__file__).with_name("bench_memory_port.py")
    assert build_and_test(source, toplevel="memory_port", module=bench, seed=2) == 4
