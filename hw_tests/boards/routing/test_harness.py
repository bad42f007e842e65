# SPDX-License-Identifier: Apache-2.0
"""The harness connects every port of a block, whatever its name."""

from __future__ import annotations

import pytest

from boards.routing.harness import Port, harness_verilog, module_ports

RTLIL = r"""
module \top.other
  wire width 3 input 0 \clk
end
module \top.block
  wire width 40 input 0  signed \i
  wire width 1 input 1  \clk
  wire width 7 \inner
  wire width 5 output 2  \port$3$0
end
"""
PORTS = [Port("i", 40, True), Port("clk", 1, True), Port("port$3$0", 5, False)]


def test_the_ports_are_those_of_the_module_alone() -> None:
    assert module_ports(RTLIL, "top.block") == PORTS


def test_a_module_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="^there is no module topxblock to route$"):
        module_ports(RTLIL, "topxblock")


def test_inputs_come_out_of_the_shift_register_and_outputs_are_folded() -> None:
    text = harness_verilog("top.block", PORTS)
    assert (
        r"\top.block block (.\clk (clk), .\i (shifted[39:0]), .\port$3$0 (results[4:0]));" in text
    )
    assert "shifted <= {shifted[38:0], given};" in text
    assert "level1[0] <= ^level0[3:0];" in text and "level1[1] <= ^level0[4:4];" in text
    assert "level2[0] <= ^level1[1:0];" in text and "assign folded = level2[0];" in text


@pytest.mark.parametrize("port", [Port("i", 4, True), Port("o", 4, False)])
def test_a_block_without_inputs_or_outputs_is_refused(port: Port) -> None:
    with pytest.raises(ValueError, match="^module half has no inputs or no outputs"):
        harness_verilog("half", [port, Port("clk", 1, True)])
