# SPDX-License-Identifier: Apache-2.0
"""Verilog of a bank of the activation memory: block RAMs, or UltraRAMs, behind input registers of
their own.
"""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig
from rtl_gen.interfaces.dma import BEAT_BITS

__all__ = [
    "BANK_LATENCY",
    "BANK_MODULE",
    "BLOCK_WORDS",
    "ULTRA_BITS",
    "ULTRA_EXPONENT",
    "bank_verilog",
    "blocks",
]

BANK_MODULE = "meadow_activation_bank"
"""Verilog module of BITS bits of every word, the black box of ActivationMemory: 16 bytes or the
exponent in block RAM, 16 bytes and the exponent in UltraRAM.
"""
BLOCK_WORDS = 4096
"""Words of a block: the depth at which a block RAM is 9 bits wide and an UltraRAM 72."""
BANK_LATENCY = 4
"""Cycles from an address to its data: input registers, memory, the output register inside the RAM,
and the choice of a block with the register behind it.
"""
_COLUMN_BITS = 9
"""Bits of an UltraRAM for which there is one write enable."""
ULTRA_BITS = 2 * 72
"""Bits of a bank of two UltraRAMs: those of 16 bytes need 15 columns, so one is left."""
ULTRA_EXPONENT = -(-BEAT_BITS // _COLUMN_BITS) * _COLUMN_BITS
"""First bit of the column that is left, for the exponent."""


def blocks(config: AcceleratorConfig) -> list[int]:
    """Words of each block of a bank; only the last one may have fewer than BLOCK_WORDS."""
    words = config.activation_words
    return [min(BLOCK_WORDS, words - first) for first in range(0, words, BLOCK_WORDS)]


def bank_verilog(config: AcceleratorConfig) -> str:
    """Verilog of one bank, module BANK_MODULE: simple dual-port RAMs that read old data on a
    collision. Its parameter BITS is 16 bytes unless an instance says otherwise; of UltraRAM it is
    ULTRA_BITS, and the upper of two write enables is for the bits from ULTRA_EXPONENT on.

    Data come BANK_LATENCY cycles after `read_address`; a write is in the RAM two cycles after it is
    offered. Every bank has registers for the addresses, near its RAMs: equal ones of two banks must
    not become one that drives them all. Vivado asks the register for `keep`, Yosys its process.
    Which RAM it becomes is said by the attribute `ram_style` alone.
    """
    ultra = config.activation_ram == "ultra"
    integer = "    integer column;\n" if ultra else ""
    sizes = blocks(config)
    count, last = len(sizes), (config.activation_words - 1).bit_length() - 1
    low = (sizes[0] - 1).bit_length()
    top = max(0, last - low)  # highest bit of a block's number
    parts = "".join(
        f"""  (* ram_style = "{config.activation_ram}" *)
  reg [BITS-1:0] memory{number} [0:{size - 1}];
  reg [BITS-1:0] latch{number};
  reg [BITS-1:0] output{number};
  always @(posedge clk) begin{f" : access{number}" if ultra else ""}
{integer}    if (reads[{number}]) latch{number} <= memory{number}[read_at];
{_write(number, ultra)}
    output{number} <= latch{number};
  end
"""
        for number, size in enumerate(sizes)
    )

    def chosen(way: str, bit: str = "") -> str:
        """A bit for each block."""
        if count == 1:
            return f"{way}_enable{bit}"
        bits = (f"{way}_address[{last}:{low}] == {number}" for number in reversed(range(count)))
        return f"{{{', '.join(bits)}}} & {{{count}{{{way}_enable{bit}}}}}"

    def choice(first: int, bit: int) -> str:
        """The block whose number has `first` above `bit`, and below it what `output_block` says."""
        if bit < 0:
            return f"output{first}"
        if first + (1 << bit) >= count:
            return choice(first, bit - 1)
        upper, lower = choice(first + (1 << bit), bit - 1), choice(first, bit - 1)
        return f"(output_block[{bit}] ? {upper} : {lower})"

    # The registers of the write enables, each with a bit for each block.
    enables = {"writes": "[0]", "marks": "[1]"} if ultra else {"writes": ""}
    registers = "".join(
        f'  (* keep = "true" *) reg [{count - 1}:0] {name} = 0;\n' for name in enables
    )
    choices = "".join(f"    {name} <= {chosen('write', bit)};\n" for name, bit in enables.items())
    return f"""module {BANK_MODULE}(
  clk, read_enable, read_address, read_data, write_enable, write_address, write_data
);
  parameter BITS = {ULTRA_BITS if ultra else BEAT_BITS};
  input clk;
  input read_enable;
  input [{last}:0] read_address;
  output reg [BITS-1:0] read_data;
  input {"[1:0] " if ultra else ""}write_enable;
  input [{last}:0] write_address;
  input [BITS-1:0] write_data;
  (* keep = "true" *) reg [{count - 1}:0] reads = 0;
{registers}  (* keep = "true" *) reg [{top}:0] read_block;
  (* keep = "true" *) reg [{low - 1}:0] read_at;
  (* keep = "true" *) reg [{low - 1}:0] write_at;
  reg [BITS-1:0] written;
  (* keep = "true" *)
  always @(posedge clk) begin
    reads <= {chosen("read")};
{choices}    read_block <= {f"read_address[{last}:{low}]" if count > 1 else 0};
    read_at <= read_address[{low - 1}:0];
    write_at <= write_address[{low - 1}:0];
  end
  always @(posedge clk) written <= write_data;
{parts}  reg [{top}:0] latch_block;
  reg [{top}:0] output_block;
  always @(posedge clk) begin
    latch_block <= read_block;
    output_block <= latch_block;
    read_data <= {choice(0, top)};
  end
endmodule
"""


def _write(number: int, ultra: bool) -> str:
    """The write of a block: of UltraRAM an `if` for each column, all as wide, which is what Vivado
    takes for write enables of parts.
    """
    if not ultra:
        return f"    if (writes[{number}]) memory{number}[write_at] <= written;"
    part = f"[{_COLUMN_BITS}*column +: {_COLUMN_BITS}]"
    return f"""    for (column = 0; column < {ULTRA_BITS // _COLUMN_BITS}; column = column + 1)
      if (column < {ULTRA_EXPONENT // _COLUMN_BITS} ? writes[{number}] : marks[{number}])
        memory{number}[write_at]{part} <= written{part};"""
