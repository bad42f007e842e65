# SPDX-License-Identifier: Apache-2.0
"""Netlists of decoder, lane and storer replay the cocotb benches of the generated text bit for bit,
and a netlist with one wrong constant does not.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cocotb_bench.device import TIMES_VARIABLE
from cosim.generate import generated_verilog
from hw_tests.cocotb_bench.netlists import block_netlist, with_netlist
from hw_tests.cocotb_bench.suites import Design, design_in, run_suite
from hw_tests.cocotb_bench.unit_folder import DECODER_BENCH, run_bench, unit_in
from hw_tests.marks import long
from meadow.spec.config import named_config
from rtl_gen.lane.lane_chain import LANE_MODULE, lane_verilog

CONFIG = "tiny"
LANE_BENCH = Path(__file__).with_name("bench_lane.py")
CHIP_BLOCKS = {
    "decoder": "meadow_top.accelerator.decoder0",
    "attention": LANE_MODULE,
    "dma": "meadow_top.accelerator.storer",
}
"""Suite -> the module of the chip whose netlist it replays on."""
RESULT = {"decoder": ("o_tile__write__payload", 7), "lane": ("o_result__payload", 0)}
"""A bit of what a block computes: a weight, a result."""

pytestmark = pytest.mark.cocotb


@pytest.fixture(params=["decoder", "lane"])
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Design, Path]:
    """A block that is a top module of its own: its name, its text with the manifest, its bench."""
    if request.param == "decoder":
        return "decoder", unit_in(tmp_path / "unit", "decoder", CONFIG), DECODER_BENCH
    design = Design(tmp_path / "lane.v", tmp_path / "manifest.json")
    config = named_config(CONFIG)
    design.verilog.write_text(lane_verilog(config), "utf-8")
    facts = {"parameters": config.to_dict(), "top": LANE_MODULE}
    design.manifest.write_text(json.dumps(facts), "utf-8")
    return "lane", design, LANE_BENCH


def test_the_bench_of_a_block_on_the_generated_text(alone: tuple[str, Design, Path]) -> None:
    _, design, bench = alone
    assert run_bench(bench, design.verilog.read_text("utf-8"), design, seed=1, top=design.top)


@pytest.mark.slow
def test_its_netlist_replays_it_and_one_with_a_fault_does_not(
    alone: tuple[str, Design, Path],
) -> None:
    """The same draws, so that every bit and every cycle of the outputs is the same."""
    block, design, bench = alone
    text = design.verilog.read_text("utf-8")
    netlist = block_netlist(text, design.top)
    assert not [line for line in netlist.structure.splitlines() if "always" in line]
    replayed = with_netlist(text, design.top, netlist)
    assert run_bench(bench, replayed, design, seed=1, top=design.top)
    faulty = with_netlist(text, design.top, netlist.fault_behind(*RESULT[block]))
    assert len(set(faulty.splitlines()) - set(replayed.splitlines())) <= 1
    with pytest.raises(AssertionError, match="cocotb tests failed"):
        run_bench(bench, faulty, design, seed=1, top=design.top)


def times_of(suite: str, verilog: str, folder: Path, *, smoke: bool) -> str:
    """Run a suite of the chip; the time of every interrupt."""
    folder.mkdir()
    design = design_in(folder, named_config(CONFIG), verilog)
    times = folder / "times"
    variables = {TIMES_VARIABLE: str(times), "COCOTB_MAX_FAILURES": "1"}
    assert run_suite(suite, design, seed=3, smoke=smoke, environment=variables)
    return times.read_text("utf-8")


@pytest.mark.parametrize(
    ("suite", "smoke"), [long("dma", True), *(long(suite, False) for suite in CHIP_BLOCKS)]
)
def test_a_chip_with_the_netlist_of_a_block_replays_the_suite(
    suite: str, smoke: bool, tmp_path: Path
) -> None:
    """The results are golden's, and every program takes the same cycles."""
    text = generated_verilog(named_config(CONFIG))
    module = CHIP_BLOCKS[suite]
    replayed = with_netlist(text, module, block_netlist(text, module))
    times = times_of(suite, replayed, tmp_path / "netlist", smoke=smoke)
    assert times == times_of(suite, text, tmp_path / "text", smoke=smoke)


@pytest.mark.long
@pytest.mark.slow
def test_a_chip_whose_storer_has_a_fault_does_not(tmp_path: Path) -> None:
    text, module = generated_verilog(named_config(CONFIG)), CHIP_BLOCKS["dma"]
    netlist = block_netlist(text, module).fault_behind("o_write__0__descriptor__payload", 0)
    with pytest.raises(AssertionError, match="cocotb tests failed"):
        times_of("dma", with_netlist(text, module, netlist), tmp_path / "fault", smoke=True)


ADDER = """\
module other(a, o);
  input a;
  output o;
  assign o = a;
endmodule
module \\top.part (a, b, o, clk);
  input [3:0] a, b;
  input clk;
  output reg [3:0] o;
  wire [3:0] less;
  \\top.part.less part (.a(a), .o(less));
  always @(posedge clk) o <= less + b;
endmodule
module \\top.part.less (a, o);
  input [3:0] a;
  output [3:0] o;
  assign o = a - 4'd3;
endmodule
"""


def test_a_block_with_all_below_it_becomes_one_module_of_primitives() -> None:
    netlist = block_netlist(ADDER, "top.part")
    kinds = {cell.kind for cell in netlist.graph.cells}
    assert "FDRE" in kinds and all(f"module {kind}" in netlist.models for kind in kinds)
    text = with_netlist(ADDER, "top.part", netlist)
    assert text.count("module other(") == 1 and "top.part.less (" not in text
    assert "assign o = a - 4'd3" not in text and "specify" not in text


def test_a_fault_is_one_inverted_truth_table() -> None:
    netlist = block_netlist(ADDER, "top.part")
    faulty = netlist.fault_behind("o", 0)
    before, after = (text.structure.splitlines() for text in (netlist, faulty))
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1
    (old, bits), (new, same) = (
        (int(line.split("'h")[1].rstrip("),"), 16), line.split("'")[0]) for line in changed[0]
    )
    assert bits == same and old ^ new == (1 << int(bits.split("(")[1])) - 1
