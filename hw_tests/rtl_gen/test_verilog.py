# SPDX-License-Identifier: Apache-2.0
"""Blocks that only assign a constant run once; everything else stays as Yosys wrote it."""

from __future__ import annotations

import re

from rtl_gen.verilog import settle_constants

SOURCE = """module a(x);
  output [7:0] x;
  reg [7:0] x;
  always @*
    x[7:4] = 4'hf;
  always @*
    x[3:0] = y;
endmodule

module b(z);
  output z;
  assign z = 1'h0;
endmodule
"""


def test_a_constant_block_gets_something_to_wait_for() -> None:
    text = settle_constants(SOURCE)
    first, second = text.split("endmodule\n", 1)
    assert "  reg meadow_settled = 0;\n" in first
    assert "always @* begin\n    if (meadow_settled) begin end\n    x[7:4] = 4'hf;\n  end" in first
    assert "  always @*\n    x[3:0] = y;\n" in first
    assert second == SOURCE.split("endmodule\n", 1)[1]


def test_nothing_else_changes() -> None:
    assert settle_constants(SOURCE.replace("4'hf", "q")) == SOURCE.replace("4'hf", "q")
    assert re.sub(r"\s", "", settle_constants("")) == ""
