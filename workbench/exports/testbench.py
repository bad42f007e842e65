# SPDX-License-Identifier: Apache-2.0
"""A testbench in SystemVerilog that reads every constant register of the core: is it the one that
these files describe?
"""

from __future__ import annotations

from workbench.exports.core import Core

__all__ = ["identity_bench"]

_BODY = """\
`timescale 1ns / 1ps
module {top}_tb;
    reg clk = 1'b0;
    reg rst = 1'b1;
{signals}
    integer read = 0;
    integer wrong = 0;

    {top} dut (
{connections}
    );

    always #2 clk = ~clk;

    // A read of one register; inputs change between rising edges.
    task check(input [11:0] offset, input [31:0] expected);
        begin
            @(negedge clk);
            s_axi_araddr = offset;
            s_axi_arvalid = 1'b1;
            s_axi_rready = 1'b1;
            while (!s_axi_arready) @(negedge clk);
            @(negedge clk);
            s_axi_arvalid = 1'b0;
            while (!s_axi_rvalid) @(negedge clk);
            read = read + 1;
            if (s_axi_rresp !== 2'b00 || s_axi_rdata !== expected) begin
                wrong = wrong + 1;
                $display("FAILED: register at 0x%03x is 0x%08x with response %0d, not 0x%08x",
                    offset, s_axi_rdata, s_axi_rresp, expected);
            end
            @(negedge clk);
            s_axi_rready = 1'b0;
        end
    endtask

    initial begin
        repeat (8) @(negedge clk);
        rst = 1'b0;
        repeat (8) @(negedge clk);
{checks}
        if (wrong != 0) $fatal(1, "FAILED: %0d of %0d registers", wrong, read);
        $display("PASSED: %0d registers of {top}, contract {contract}", read);
        $finish;
    end

    initial begin
        #100000 $fatal(1, "FAILED: the registers do not answer");
    end
endmodule
"""


def identity_bench(core: Core) -> str:
    """Resets the core, reads its constant registers, ends with PASSED or with an error."""
    signals, connections = [], []
    for port in core.ports:
        name = port["name"]
        connections.append(f"        .{name}({name})")
        if name in ("clk", "rst"):
            continue
        size = f" [{port['width'] - 1}:0]" if port["width"] > 1 else ""
        kind, value = ("reg", " = 0") if port["direction"] == "input" else ("wire", "")
        signals.append(f"    {kind}{size} {name}{value};")
    constants = {r.name: (r.offset, core.resets[r.name]) for r in core.registers if r.constant}
    checks = [
        f"        check(12'h{offset:03x}, 32'h{value:08x});  // {name}"
        for name, (offset, value) in constants.items()
    ]
    return core.heading("Testbench", "//") + _BODY.format(
        top=core.top,
        contract=core.contract,
        signals="\n".join(signals),
        connections=",\n".join(connections),
        checks="\n".join(checks),
    )
