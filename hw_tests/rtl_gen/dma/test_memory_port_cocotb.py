# SPDX-License-Identifier: Apache-2.0
"""The memory port as Verilog, against cocotbext-axi's memory: one build per configuration, several
benches.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.cocotb_runner import build_and_test, generate_verilog
from hw_tests.marks import slow
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.interfaces.axi import axi_ports
from rtl_gen.interfaces.members import members

BENCHES = {
    "bench_memory_port": 9,
    "bench_memory_port_pressure": 13,
    "bench_memory_port_errors": 18,
    "bench_memory_port_reset": 4,
}
"""Benches and how many cocotb tests are in each."""


@pytest.fixture(scope="module", params=["tiny", slow("zcu102")])
def port(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Configuration and its port as Verilog."""
    dut = MemoryPort(config=CONFIGURATIONS[request.param])
    ports = axi_ports("m_axi0", dut.axi)
    streams = {
        "i_read": dut.i_read,
        "i_write": dut.i_write.descriptor,
        "i_write_data": dut.i_write.data,
        "o_beat": dut.o_beat,
    }
    for name, port in streams.items():
        ports |= {f"{name}_{part}": signal for part, signal in members(port).items()}
    ports |= {"error_valid": dut.error.valid, "error_payload": dut.error.payload}
    for name in ("window_base", "window_beats", "flush", "idle", "writes_pending"):
        ports[name] = getattr(dut, name)
    return request.param, generate_verilog(dut, "memory_port", ports)


@pytest.mark.cocotb
@pytest.mark.parametrize(
    "bench", [slow("bench_memory_port"), *(name for name in BENCHES if name != "bench_memory_port")]
)
def test_memory_port(port: tuple[str, str], bench: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, source = port
    monkeypatch.setenv("MEADOW_BENCH_CONFIG", name)
    module = Path(__file__).with_name(f"{bench}.py")
    count = build_and_test(source, toplevel="memory_port", module=module, seed=2)
    assert count == BENCHES[bench]
