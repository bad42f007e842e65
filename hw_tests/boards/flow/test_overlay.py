# SPDX-License-Identifier: Apache-2.0
"""dtc compiles the overlays without a warning; they name the bitstream, widths, registers with
interrupt, clock and buffer.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boards.zynqmp import PL_CLOCK, PL_RESET
from hw_tests.boards.flow.folders import CASES, case_system, write_folder
from hw_tests.boards.flow.overlays import compile_overlay, needs_dtc, targets
from meadow.spec.linux import BUFFER_NAME, CLOCK_PROPERTY, HASH_PROPERTY, UIO_NAME

pytestmark = needs_dtc

# What the overlay needs of the tree of a running board: labels of Linux, zynqmp.dtsi and
# zynqmp-clk-ccf.dtsi in arch/arm64/boot/dts/xilinx.
BOARD_TREE = """\
/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	compatible = "xlnx,zynqmp";
	fpga_full: fpga-region {
		compatible = "fpga-region";
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
	};
	zynqmp_clk: clock-controller { #clock-cells = <1>; };
	zynqmp_reset: reset-controller { #reset-cells = <1>; };
	amba: axi {
		compatible = "simple-bus";
		#address-cells = <2>;
		#size-cells = <2>;
		ranges;
		gic: interrupt-controller@f9010000 {
			reg = <0x0 0xf9010000 0x0 0x10000>;
			#address-cells = <0>;
			#interrupt-cells = <3>;
			interrupt-controller;
		};
	};
};
"""


@pytest.mark.parametrize(("board", "name"), CASES)
def test_the_overlay_compiles_without_a_warning(board: str, name: str, tmp_path: Path) -> None:
    system = case_system(board, name, buffer_mib=700)
    folder = write_folder(system, tmp_path / "flow")
    tree, said = compile_overlay(folder / "package" / "overlay.dtso")
    assert said == ""
    region, bus = targets(tree)["fpga_full"], targets(tree)["amba"]
    assert region.text("firmware-name") == system.firmware == f"{system.name}.bit.bin"
    assert region.cells("resets")[1] == PL_RESET
    pairs = bus.nodes["afi0"].cells("config-afi")
    assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == system.afi
    node = bus.nodes[f"{UIO_NAME}@a0000000"]
    assert node.text("compatible") == "generic-uio"
    assert node.cells("reg") == [0, 0xA000_0000, 0, 4096]
    assert node.cells("interrupts") == [0, 89, 4]
    assert node.cells("assigned-clocks")[1] == PL_CLOCK
    assert node.cells("assigned-clock-rates") == [system.clock_hz]
    assert node.cells(CLOCK_PROPERTY) == [system.clock_hz]
    assert node.text(HASH_PROPERTY) == system.contract
    buffer = bus.nodes[BUFFER_NAME]
    assert buffer.text("compatible") == "ikwzm,u-dma-buf"
    assert buffer.text("device-name") == BUFFER_NAME
    assert buffer.cells("size") == [0, 700 << 20]
    facts = json.loads((folder / "package" / "design.json").read_text())
    assert facts["buffer"] == {"name": BUFFER_NAME, "bytes": 700 << 20}


@pytest.mark.parametrize("board", ["zcu102", "kv260"])
def test_the_overlay_fits_into_a_boards_tree(board: str, tmp_path: Path) -> None:
    folder = write_folder(case_system(board, board), tmp_path / "flow")
    overlay = folder / "package" / "overlay.dtso"
    compile_overlay(overlay)
    (tmp_path / "base.dts").write_text(BOARD_TREE)
    base, merged = tmp_path / "base.dtb", tmp_path / "merged.dtb"
    for words in (
        ["dtc", "-@", "-O", "dtb", "-o", str(base), str(tmp_path / "base.dts")],
        ["fdtoverlay", "-i", str(base), "-o", str(merged), str(overlay.with_suffix(".dtbo"))],
    ):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    # With both in one tree dtc can check the interrupt, the addresses and the clocks too. Nodes
    # without registers on a bus are how AMD's own overlays describe the widths of ports.
    words = ["dtc", "-W", "no-simple_bus_reg", "-I", "dtb", "-O", "dts", str(merged)]
    checked = subprocess.run(words, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stderr == "", checked.stderr
    assert f"{UIO_NAME}@a0000000" in checked.stdout
