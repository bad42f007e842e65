# SPDX-License-Identifier: Apache-2.0
"""Every Tcl file runs to its end against a stub of Vivado that refuses what it does not know, and
the recording has everything connected and addressed as the contract says.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from boards.flow.system import System
from hw_tests.boards.flow.block_design import BlockDesign
from hw_tests.boards.flow.folders import CASES, case_system, plant, write_folder
from hw_tests.boards.flow.tcl import needs_tcl, run_tcl
from hw_tests.boards.flow.vivado import Vivado
from hw_tests.boards.flow.vivado_facts import VERSIONS

pytestmark = needs_tcl


def _run(folder: Path, vivado: Vivado, script: str = "build.tcl") -> str | None:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return run_tcl(folder / script, vivado.answer, scratch)


def _built(system: System, tmp_path: Path) -> tuple[Vivado, BlockDesign, Path]:
    folder = write_folder(system, tmp_path / "flow")
    vivado = Vivado()
    assert _run(folder, vivado) is None
    assert vivado.design is not None
    return vivado, vivado.design, folder


@pytest.mark.parametrize(("board", "name"), CASES)
def test_the_flow_runs_to_its_end(board: str, name: str, tmp_path: Path) -> None:
    system = case_system(board, name)
    vivado, design, folder = _built(system, tmp_path)
    assert design.validated and design.saved
    assert [project.part for project in vivado.projects] == [system.board.part] * 2
    for suffix in ("bit", "xsa"):
        assert (folder / "package" / f"{system.name}.{suffix}").is_file()
    reports = {path.name for path in (folder / "reports").iterdir()}
    assert reports >= {"timing.rpt", "utilization.rpt", "power.rpt", "cdc.rpt", "memories.rpt"}
    assert any("no activity.saif" in line for line in vivado.said)


@pytest.mark.parametrize(("board", "name"), CASES)
def test_everything_is_connected(board: str, name: str, tmp_path: Path) -> None:
    system = case_system(board, name)
    vivado, design, _ = _built(system, tmp_path)
    clocks = [
        f"{cell.name}/{pin}"
        for cell in design.cells.values()
        for pin, found in cell.present().items()
        if found.kind == "clock" and not found.out
    ]
    assert len(clocks) == 4 + system.config.ports
    assert {design.nets[pin] for pin in clocks} == {"ps/pl_clk0"}
    assert design.nets["meadow/rst"] == "reset/peripheral_reset"
    assert vivado.packaged["rst"].parameters == {"POLARITY": "ACTIVE_HIGH"}
    assert design.nets["control/aresetn"] == "reset/interconnect_aresetn"
    assert design.nets["reset/ext_reset_in"] == "ps/pl_resetn0"
    assert design.nets[f"ps/{system.board.interrupt}"] == "meadow/irq"
    assert vivado.packaged["irq"].parameters["SENSITIVITY"] == "LEVEL_HIGH"
    assert design.nets["meadow/s_axi"] == "control/M00_AXI"
    assert design.nets["control/S00_AXI"] == "ps/M_AXI_HPM0_FPD"
    ports = {driver: driven for driven, driver in design.nets.items() if "m_axi" in driver}
    assert ports == {f"meadow/{m}": f"ps/{p.interface}" for m, p in system.masters.items()}
    assert len(set(ports.values())) == system.config.ports
    for port in system.masters.values():
        assert design.cells["ps"].parameters[f"PSU__SAXIGP{port.parameter}__DATA_WIDTH"] == "128"
    assert design.cells["ps"].parameters["PSU__MAXIGP0__DATA_WIDTH"] == "32"


@pytest.mark.parametrize(("board", "name"), CASES)
def test_addresses_are_those_of_the_contract(board: str, name: str, tmp_path: Path) -> None:
    system = case_system(board, name)
    vivado, design, _ = _built(system, tmp_path)
    place = design.assigned["ps/Data", "meadow/s_axi/reg0"]
    assert place == (system.board.base, system.register_bytes) == (0xA000_0000, 4096)
    kinds = {"DDR_LOW", "DDR_HIGH"} if system.config.address_bits >= 36 else {"DDR_LOW"}
    for master, port in system.masters.items():
        seen = {segment for space, segment in design.assigned if space == f"meadow/{master}"}
        assert seen == {f"ps/{port.segments}_{kind}" for kind in kinds}
        width = vivado.packaged[master].parameters["ADDR_WIDTH"]
        assert int(width) == system.config.address_bits


def test_a_fan_is_driven_where_the_board_has_one(tmp_path: Path) -> None:
    vivado, design, folder = _built(case_system("kv260", "kv260"), tmp_path)
    assert design.nets["fan/wave"] == "ps/emio_ttc0_wave_o"
    assert design.nets["fan_en_b"] == "fan/enable_b"
    assert _run(folder, vivado, "board.xdc") is None
    assert vivado.properties["port@fan_en_b"]["PACKAGE_PIN"] == "A12"
    assert vivado.projects[1].properties["board_connections"].startswith("som240_1_connector ")
    assert vivado.projects[1].properties["board_part"] == "xilinx.com:kv260_som:part0:1.4"


@pytest.mark.parametrize(("board", "name"), CASES)
def test_constraints_run_and_hold_the_hash(board: str, name: str, tmp_path: Path) -> None:
    system = case_system(board, name)
    vivado, _, folder = _built(system, tmp_path)
    assert _run(folder, vivado, "board.xdc") is None
    bits = vivado.properties["design@design"]
    assert int(bits["BITSTREAM.CONFIG.USR_ACCESS"], 16) == int(system.contract[:8], 16)


@pytest.mark.parametrize(("board", "name"), CASES)
def test_every_file_that_is_named_is_there(board: str, name: str, tmp_path: Path) -> None:
    folder = write_folder(case_system(board, name), tmp_path / "flow")
    made = ("build", "reports", "activity.saif", "package/", "$step.tcl")
    for script in (*folder.glob("*.tcl"), folder / "board.xdc"):
        for named in re.findall(r"\$root/([\w./$-]+)", script.read_text()):
            assert (folder / named).is_file() or named.startswith(made), f"{script.name}: {named}"
    for step in re.findall(r"foreach step \{(.*?)\}", (folder / "build.tcl").read_text())[
        0
    ].split():
        assert (folder / f"{step}.tcl").is_file()


@pytest.mark.parametrize("version", [*VERSIONS, "2024.1.2"])
def test_versions_of_vivado_that_the_flow_is_for(version: str, tmp_path: Path) -> None:
    folder = write_folder(case_system("kv260", "tiny"), tmp_path / "flow")
    assert _run(folder, Vivado(version=version)) is None


@pytest.mark.parametrize("version", ["2022.2", "2026.1"])
def test_another_version_is_refused_in_one_line(version: str, tmp_path: Path) -> None:
    folder = write_folder(case_system("kv260", "tiny"), tmp_path / "flow")
    error = _run(folder, Vivado(version=version))
    known = "2023.2, 2024.1, 2024.2, 2025.1, 2025.2"
    assert error == f"this flow is for Vivado {known}, not {version}"


def test_a_packager_that_makes_no_maps_is_helped(tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "zcu102"), tmp_path / "flow")
    assert _run(folder, Vivado(infers=False)) is None


@pytest.mark.parametrize(
    ("asked", "vivado", "message"),
    [
        ({"clock_mhz": 200.0}, {}, "pl_clk0 can be 214.283571 MHz, not 200: write this folder"),
        ({}, {"boards": ()}, "Vivado has no files of the board xilinx.com:zcu102:part0: install"),
        ({}, {"slack": "-0.2"}, "timing is not met: setup slack -0.2 ns, see reports/timing.rpt"),
        ({}, {"progress": "80%"}, "implementation has ended with: route failed; see build/"),
    ],
)
def test_what_goes_wrong_is_told_in_one_line(
    asked: dict[str, float], vivado: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = write_folder(case_system("zcu102", "tiny", **asked), tmp_path / "flow")
    error = _run(folder, Vivado(**vivado))  # pyright: ignore[reportArgumentType]
    assert error is not None and error.startswith(message) and "\n" not in error
    assert not list((folder / "package").glob("*.bit"))


def test_a_path_with_a_space_is_refused(tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "tiny"), tmp_path / "my flow")
    error = _run(folder, Vivado())
    assert error is not None and error.startswith("Vivado splits paths at spaces")


def test_switching_of_a_simulation_is_used(tmp_path: Path) -> None:
    folder = write_folder(case_system("zcu102", "tiny"), tmp_path / "flow")
    (folder / "activity.saif").write_text("(SAIFILE)")
    vivado = Vivado()
    assert _run(folder, vivado) is None
    assert "read_saif" in {name for name, _, _ in vivado.calls}
    assert not any("activity.saif" in line for line in vivado.said)


@pytest.mark.parametrize(
    ("script", "line", "with_line", "message"),
    [
        ("block_design", "meadow/clk", "", "pin meadow/clk is not connected"),
        ("block_design", "M_AXI_GP1 0", "M_AXI_GP1 1", "pin ps/maxihpm1_fpd_aclk is not"),
        ("block_design", "  ps/saxihp1_fpd_aclk\n", "", "pin ps/saxihp1_fpd_aclk is not connected"),
        ("block_design", "peripheral_reset", "peripheral_aresetn", "different polarities"),
        ("block_design", "PL0_REF_CTRL__FREQMHZ", "PL0_REF_CTL__FREQMHZ", "has no parameter"),
        ("block_design", "DATA_WIDTH 128", "DATA_WIDTH 256", "cannot be 256"),
        ("block_design", "0xa0000000", "0x80000000", "cannot be at 0x80000000"),
        ("block_design", "QSPI ", "", "HP1_QSPI is neither assigned to meadow/m_axi0 nor"),
        ("block_design", "smartconnect", "smart_connect", "there is no IP xilinx.com:ip:smart_"),
        ("block_design", "validate_bd_design", "check_bd_design", 'invalid command name "check_'),
        ("block_design", "/S00_AXI", "/S0_AXI", "there is no interface control/S0_AXI"),
        ("package_ip", "ignore_freq_hz true", "ignore_freq true", "ipi_drc cannot be"),
        ("package_ip", "-taxonomy /UserIP", "-taxonomy /MyIP", "-taxonomy cannot be /MyIP"),
        ("implement", "-hierarchical_depth", "-depth", "report_utilization has no option -depth"),
        ("implement", "ExtraTimingOpt", "ExtraTiming", "cannot be 'ExtraTiming'"),
        ("meadow_ip.v", "ACTIVE_HIGH", "HIGH", "POLARITY of xilinx.com:signal:reset:1.0 cannot"),
        ("meadow_ip.v", "m_axi0 AWLEN", "m_axi0 AWLENGTH", "has no port AWLENGTH"),
        ("meadow_ip.v", "NUM_READ_THREADS", "NUM_THREADS", "has no parameter NUM_THREADS"),
    ],
)
def test_the_stub_refuses_what_it_does_not_know(
    script: str, line: str, with_line: str, message: str, tmp_path: Path
) -> None:
    folder = write_folder(case_system("zcu102", "tiny"), tmp_path / "flow")
    plant(folder, script if "." in script else f"{script}.tcl", line, with_line)
    error = _run(folder, Vivado())
    assert error is not None and message in error, error
