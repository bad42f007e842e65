# SPDX-License-Identifier: Apache-2.0
"""Only what a clock writes loses its initial value."""

from __future__ import annotations

from cocotb_bench.uninitialised import without_initial_values

SOURCE = """module a(clk, x);
  input clk;
  reg meadow_settled = 0;
  reg \\$auto$1  = 0;
  reg [7:0] count = 8'h05;
  (* keep = "true" *) reg \\odd$2  = 1'h1;
  reg [7:0] words [3:0];
  reg [7:0] table [3:0];
  initial begin
    for (meadow_index = 0; meadow_index <= 2; meadow_index = meadow_index + 1)
      words[meadow_index] = 8'h00;
    words[3] = 8'h01;
    table[0] = 8'h07;
  end
  always @(posedge clk)
    count <= \\next ;
  always @(posedge clk) begin
    if (put)
      words[place] <= data;
    if (\\put$3 ) \\odd$2  <= data[0];
  end
endmodule
"""


def test_registers_and_memories_that_are_written_begin_unknown() -> None:
    text, registers, words = without_initial_values(SOURCE)
    assert (registers, words) == (2, 2)
    assert "reg [7:0] count;" in text and "words[3] =" not in text and "8'h00" not in text
    assert '(* keep = "true" *) reg \\odd$2 ;' in text


def test_tables_and_what_serves_the_simulator_stay() -> None:
    text, _, _ = without_initial_values(SOURCE)
    for line in ("table[0] = 8'h07;", "reg \\$auto$1  = 0;", "reg meadow_settled = 0;"):
        assert line in text
    assert without_initial_values(text) == (text, 0, 0)


def test_a_module_does_not_change_another() -> None:
    other = "module b(x);\n  reg count = 1'h1;\nendmodule\n"
    text, registers, _ = without_initial_values(SOURCE + other)
    assert registers == 2 and text.endswith(other)
