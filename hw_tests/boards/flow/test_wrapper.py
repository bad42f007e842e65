# SPDX-License-Identifier: Apache-2.0
"""The module that is packaged has the interfaces of the chip, passes every port on, and states what
the memory ports drive.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.sim import Simulator

from boards.flow.wrapper import WRAPPER_NAME, interface_wrapper
from hw_tests.boards.flow.folders import CASES, TOP, case_system, write_folder
from hw_tests.boards.flow.packaged import module_interfaces, module_ports
from hw_tests.workbench.exports.verilog_tools import TOOLS, complaints
from meadow.spec.config import CONFIGURATIONS
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.export import verilog_ports


@pytest.mark.parametrize(("board", "name"), CASES)
def test_interfaces_are_those_of_the_chip(board: str, name: str) -> None:
    system = case_system(board, name)
    ports = verilog_ports(system.config)
    text = interface_wrapper(system, TOP, ports)
    found = module_interfaces(text, WRAPPER_NAME)
    assert list(found) == ["clk", "rst", "s_axi", *system.masters, "irq"]
    assert found["clk"].parameters["ASSOCIATED_BUSIF"].split(":") == ["s_axi", *system.masters]
    assert found["clk"].parameters["ASSOCIATED_RESET"] == "rst"
    assert "FREQ_HZ" not in text
    assert not found["s_axi"].master and found["s_axi"].parameters["PROTOCOL"] == "AXI4LITE"
    for master in system.masters:
        values = found[master].parameters
        assert found[master].master
        assert int(values["ADDR_WIDTH"]) == found[master].ports["AWADDR"][1]
        assert int(values["DATA_WIDTH"]) == found[master].ports["WDATA"][1] == 128
        assert int(values["ID_WIDTH"]) == found[master].ports["ARID"][1]
        assert int(values["NUM_READ_OUTSTANDING"]) == system.config.outstanding
        assert values["MAX_BURST_LENGTH"] == str(min(64, system.config.prefetch_beats // 4))
    outer = {port["name"] for port in ports if port["interface"] != "debug"}
    assert set(module_ports(text, WRAPPER_NAME)) == outer
    for port in ports:
        inside = port["name"] if port["name"] in outer else ""
        assert f".{port['name']}({inside})" in text


@pytest.mark.parametrize("tool", TOOLS)
def test_verilog_tools_read_it(tool: str, tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "small"), tmp_path / "flow")
    wrapper = (folder / f"{WRAPPER_NAME}.v").read_text()
    # Two modules are in one file here, and outputs for a logic analyser are open on purpose.
    for name in ("DECLFILENAME", "PINCONNECTEMPTY"):
        wrapper = f"// verilator lint_off {name}\n{wrapper}"
    text = (folder / "meadow.v").read_text() + wrapper
    (tmp_path / "run").mkdir()
    assert complaints(tool, text, WRAPPER_NAME, tmp_path / "run") == []


def test_memory_ports_drive_what_is_stated() -> None:
    port = MemoryPort(config=CONFIGURATIONS["nano"])
    seen: dict[str, int] = {}

    async def look(ctx) -> None:
        for channel in ("ar", "aw"):
            for name in ("id", "cache", "prot", "qos", "lock", "size", "burst"):
                seen[channel + name] = ctx.get(getattr(port.axi, channel + name))

    simulator = Simulator(port)
    simulator.add_clock(1e-8)
    simulator.add_testbench(look)
    simulator.run()
    stated = {"id": 0, "cache": 0b0011, "prot": 0, "qos": 0, "lock": 0, "size": 4, "burst": 1}
    assert seen == {f"{channel}{name}": v for channel in ("ar", "aw") for name, v in stated.items()}
