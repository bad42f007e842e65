# SPDX-License-Identifier: Apache-2.0
"""Blocks that only assign a constant run once; everything else stays as Yosys wrote it."""

from __future__ import annotations

import re

import pytest

from rtl_gen.blocks.verilog import fold_initial_values, settle_constants

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


def test_a_constant_may_be_decimal() -> None:
    """Yosys writes one of 32 bits so."""
    text = settle_constants(SOURCE.replace("4'hf", "32'd0"))
    assert "if (meadow_settled) begin end\n    x[7:4] = 32'd0;\n  end" in text


def test_nothing_else_changes() -> None:
    assert settle_constants(SOURCE.replace("4'hf", "q")) == SOURCE.replace("4'hf", "q")
    assert re.sub(r"\s", "", settle_constants("")) == ""


def _memory(name: str, values: list[int]) -> str:
    words = "".join(f"    {name}[{i}] = 8'h{value:02x};\n" for i, value in enumerate(values))
    return f"module a(x);\n  reg [7:0] {name} [99:0];\n  initial begin\n{words}  end\nendmodule\n"


@pytest.mark.parametrize("name", ["words", "\\words$1 "])
def test_equal_initial_values_become_a_loop(name: str) -> None:
    text = fold_initial_values(_memory(name, [0] * 40 + [5] + [7] * 3 + [0] * 20))
    assert text.count("integer meadow_index;") == 1
    loops = re.findall(
        r"for \(meadow_index = (\d+); meadow_index <= (\d+);[^\n]*\n      (.*)", text
    )
    assert loops == [
        ("0", "39", f"{name}[meadow_index] = 8'h00;"),
        ("44", "63", f"{name}[meadow_index] = 8'h00;"),
    ]
    assert [int(i) for i in re.findall(rf"{re.escape(name)}\[(\d+)\] =", text)] == [40, 41, 42, 43]


def test_short_runs_of_initial_values_stay() -> None:
    text = _memory("words", [1, 2, 3, 0, 0, 0])
    assert fold_initial_values(text) == text
