# SPDX-License-Identifier: Apache-2.0
"""The beginning of the names of all modules, of which two cores in one design need two, and where
catalogues have the core.
"""

from __future__ import annotations

import re

__all__ = [
    "IP_LIBRARY",
    "IP_VENDOR",
    "KEYWORDS",
    "PREFIX",
    "check_prefix",
    "top_name",
    "with_prefix",
]

PREFIX = "meadow"
"""What the generator itself writes."""

IP_VENDOR, IP_LIBRARY = "meadow", "accelerators"
"""In IP-XACT and in Vivado's catalogue."""

KEYWORDS = frozenset(
    """
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup coverpoint
    cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
    endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage
    endprimitive endprogram endproperty endspecify endsequence endtable endtask enum event
    eventually expect export extends extern final first_match for force foreach forever fork
    forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
    implements implies import incdir include initial inout input inside instance int integer
    interconnect interface intersect join join_any join_none large let liblist library local
    localparam logic longint macromodule matches medium modport module nand negedge nettype new
    nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos
    posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime
    ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always
    s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super
    supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time
    timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union
    unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    """.split()
)
"""Of Verilog (IEEE 1364-2005) and SystemVerilog (IEEE 1800-2017)."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MOST_CHARACTERS = 64
_MODULE = re.compile(rf"^module \\?{PREFIX}_(\w+)", re.M)


def check_prefix(prefix: str) -> None:
    """ValueError unless modules can be named so: a Verilog identifier of letters, digits and `_`,
    no keyword.
    """
    if len(prefix) > _MOST_CHARACTERS:
        raise ValueError(f"name must have at most {_MOST_CHARACTERS} characters, not {len(prefix)}")
    if not _IDENTIFIER.fullmatch(prefix):
        raise ValueError(
            "name must be a Verilog identifier, letters, digits and _ behind a letter or _, "
            f"not {prefix!r}"
        )
    if prefix in KEYWORDS:
        raise ValueError(f"name must be no keyword of Verilog or SystemVerilog, not {prefix!r}")


def top_name(prefix: str = PREFIX) -> str:
    """The top module's name."""
    return f"{prefix}_top"


def with_prefix(verilog: str, prefix: str) -> str:
    """The Verilog of `generate_verilog` with another beginning of all its modules' names; nothing
    else changes. ValueError as `check_prefix` raises it.

    `meadow_lane` is found as the module, in its instances and in the names of the units below it,
    `\\meadow_lane.softmax `; names inside of a module, like `meadow_index`, stay.
    """
    check_prefix(prefix)
    modules = "|".join(sorted(set(_MODULE.findall(verilog))))
    return re.sub(rf"\b{PREFIX}_(?=(?:{modules})\b)", f"{prefix}_", verilog) if modules else verilog
