# SPDX-License-Identifier: Apache-2.0
"""Overlay, block design, register map and driver agree, each read for itself; a change of address,
interrupt, width, frequency or hash in one place alone is found.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from boards.flow.system import System
from boards.zynqmp import AFI_WIDTHS, MEMORY_PORTS, REGISTER_PORT
from hw_tests.boards.flow.folders import case_system, plant, write_folder
from hw_tests.boards.flow.overlays import compile_overlay, needs_dtc, targets
from hw_tests.boards.flow.tcl import needs_tcl, run_tcl
from hw_tests.boards.flow.vivado import Vivado
from meadow.spec import linux
from meadow.spec.contract import contract_hash, reset_values
from meadow.spec.registers import register_map

pytestmark = [needs_tcl, needs_dtc]

Facts = Mapping[str, Any]

_INTERRUPTS = {"ps/pl_ps_irq0": 89, "ps/pl_ps_irq1": 104}  # AMD UG1085, "System Interrupts"


def _of_overlay(folder: Path) -> Facts:
    tree, said = compile_overlay(folder / "package" / "overlay.dtso")
    assert said == ""
    bus = targets(tree)["amba"]
    (name,) = (name for name in bus.nodes if name.startswith(f"{linux.UIO_NAME}@"))
    node = bus.nodes[name]
    high, low, _, size = node.cells("reg")
    assert int(name.partition("@")[2], 16) == high << 32 | low
    _, line, kind = node.cells("interrupts")
    codes = bus.nodes["afi0"].cells("config-afi")
    afi = dict(zip(codes[::2], codes[1::2], strict=True))
    memory = {code: bits for bits, code in AFI_WIDTHS["memory"].items()}
    register = {code: bits for bits, code in AFI_WIDTHS["register"].items()}
    return {
        "address": (high << 32 | low, size),
        "interrupt": (line, "LEVEL_HIGH" if kind == 4 else kind),
        "widths": {
            name: {memory[afi[number]] for number in port.afi}
            for name, port in MEMORY_PORTS.items()
        },
        "register_width": register[afi[REGISTER_PORT.afi] >> REGISTER_PORT.afi_shift],
        "hertz": {node.cells("assigned-clock-rates")[0], node.cells(linux.CLOCK_PROPERTY)[0]},
        "hash": node.text(linux.HASH_PROPERTY),
        "file": targets(tree)["fpga_full"].text("firmware-name"),
        "buffer": bus.nodes[linux.BUFFER_NAME].cells("size")[1],
    }


def _of_block_design(folder: Path) -> Facts:
    vivado = Vivado()
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    assert run_tcl(folder / "build.tcl", vivado.answer, scratch) is None
    assert run_tcl(folder / "board.xdc", vivado.answer, scratch) is None
    assert vivado.design is not None
    ps = vivado.design.cells["ps"].parameters
    (pin,) = (pin for pin, driver in vivado.design.nets.items() if driver == "meadow/irq")
    ports = {name: f"PSU__SAXIGP{port.parameter}" for name, port in MEMORY_PORTS.items()}
    used = {
        name: int(ps[f"{prefix}__DATA_WIDTH"])
        for name, prefix in ports.items()
        if f"{prefix}__DATA_WIDTH" in ps
    }
    core = {int(i.parameters["DATA_WIDTH"]) for n, i in vivado.packaged.items() if i.master}
    (bit,) = (folder / "package").glob("*.bit")
    return {
        "address": vivado.design.assigned["ps/Data", "meadow/s_axi/reg0"],
        "interrupt": (_INTERRUPTS[pin], vivado.packaged["irq"].parameters["SENSITIVITY"]),
        "widths": used,
        "core_widths": core,
        "register_width": int(ps["PSU__MAXIGP0__DATA_WIDTH"]),
        "hertz": round(float(ps["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"]) * 1e6),
        "hash": int(vivado.properties["design@design"]["BITSTREAM.CONFIG.USR_ACCESS"], 16),
        "described": re.findall(r"contract (\w+)", vivado.core["description"])[0],
        "file": f"{bit.name}.bin",
    }


def disagreements(system: System, folder: Path) -> Iterator[str]:
    """What does not agree, by name."""
    overlay, design = _of_overlay(folder), _of_block_design(folder)
    facts = json.loads((folder / "package" / "design.json").read_text())
    # The register map of the contract, which the Verilog and the driver are made of.
    last = max(register.offset for register in register_map(system.config))
    digest = b"".join(
        reset_values(system.config)[f"contract_hash{index}"].to_bytes(4, "little")
        for index in range(8)
    ).hex()
    size = linux.REGISTER_BYTES
    addresses = {
        overlay["address"],
        design["address"],
        (facts["registers"]["base"], facts["registers"]["bytes"]),
        (system.board.base, size),
    }
    if len(addresses) != 1 or last >= size:
        yield "address"
    lines = {
        overlay["interrupt"],
        design["interrupt"],
        (facts["interrupt"]["number"], "LEVEL_HIGH"),
    }
    if len(lines) != 1:
        yield "interrupt"
    widths = {width for name in design["widths"] for width in overlay["widths"][name]}
    if len(widths | set(design["widths"].values()) | design["core_widths"]) != 1:
        yield "width"
    if len(design["widths"]) != system.config.ports or len(facts["ports"]) != system.config.ports:
        yield "ports"
    if overlay["register_width"] != design["register_width"]:
        yield "register width"
    if overlay["hertz"] | {design["hertz"], facts["clock_hz"]} != {system.clock_hz}:
        yield "frequency"
    hashes = {overlay["hash"], design["described"], facts["contract_hash"], digest}
    if hashes != {contract_hash(system.config)} or design["hash"] != int(digest[:8], 16):
        yield "hash"
    if len({overlay["file"], design["file"], f"{facts['name']}.bit.bin"}) != 1:
        yield "file"
    if facts["buffer"]["bytes"] != overlay["buffer"]:
        yield "buffer"


@pytest.mark.parametrize("board", ["zcu102", "kv260"])
def test_everything_agrees(board: str, tmp_path: Path) -> None:
    system = case_system(board, board)
    assert list(disagreements(system, write_folder(system, tmp_path / "flow"))) == []


@pytest.mark.parametrize(
    ("file", "text", "other", "named"),
    [
        ("package/overlay.dtso", "a0000000", "a0001000", "address"),
        ("package/overlay.dtso", "0x0 0x1000>", "0x0 0x2000>", "address"),
        ("block_design.tcl", "0xa0000000", "0xa0010000", "address"),
        ("block_design.tcl", "-range 0x1000", "-range 0x2000", "address"),
        ("package/design.json", '"base": 2684354560', '"base": 2684358656', "address"),
        ("package/overlay.dtso", "<0 89 4>", "<0 90 4>", "interrupt"),
        ("package/overlay.dtso", "<0 89 4>", "<0 89 1>", "interrupt"),
        ("block_design.tcl", "IRQ0 1 \\", "IRQ0 0 CONFIG.PSU__USE__IRQ1 1 \\", "interrupt"),
        ("meadow_ip.v", "LEVEL_HIGH", "EDGE_RISING", "interrupt"),
        ("package/design.json", '"number": 89', '"number": 121', "interrupt"),
        ("package/overlay.dtso", "<6 0x0>", "<6 0x1>", "width"),
        ("package/overlay.dtso", "<7 0x0>", "<7 0x2>", "width"),
        ("block_design.tcl", "SAXIGP3__DATA_WIDTH 128", "SAXIGP3__DATA_WIDTH 64", "width"),
        ("meadow_ip.v", "AXI4, DATA_WIDTH 128", "AXI4, DATA_WIDTH 64", "width"),
        ("package/overlay.dtso", "<14 0x0>", "<14 0x200>", "register width"),
        ("block_design.tcl", "MAXIGP0__DATA_WIDTH 32", "MAXIGP0__DATA_WIDTH 128", "register width"),
        ("package/overlay.dtso", "rates = <150000000>", "rates = <250000000>", "frequency"),
        ("package/overlay.dtso", "hz = <150000000>", "hz = <100000000>", "frequency"),
        ("block_design.tcl", "FREQMHZ 150", "FREQMHZ 149.9", "frequency"),
        ("package/design.json", "150000000", "100000000", "frequency"),
        ("package/overlay.dtso", "HASH", "0" * 64, "hash"),
        ("package_ip.tcl", "HASH", "0" * 64, "hash"),
        ("package/design.json", "HASH", "0" * 64, "hash"),
        ("board.xdc", "USR_ACCESS 0x", "USR_ACCESS 0xF", "hash"),
        ("package/overlay.dtso", ".bit.bin", "-old.bit.bin", "file"),
        ("implement.tcl", ".bit\n", "-old.bit\n", "file"),
        ("package/design.json", '"bytes": 536870912', '"bytes": 1073741824', "buffer"),
    ],
)
def test_a_change_in_one_place_is_found(
    file: str, text: str, other: str, named: str, tmp_path: Path
) -> None:
    system = case_system("zcu102", "tiny")
    folder = write_folder(system, tmp_path / "flow")
    plant(folder, file, text.replace("HASH", system.contract), other)
    if "IRQ1" in other:
        plant(folder, file, "ps/pl_ps_irq0", "ps/pl_ps_irq1")
    assert list(disagreements(system, folder)) == [named]
