# SPDX-License-Identifier: Apache-2.0
"""The Verilog as it is written: its heading, and the style of generated text that Verilator is not
to warn of.

Icarus Verilog, Yosys and slang have nothing to say about it. Verilator has, of what the language
defines and a person would write otherwise. What is waived ends with the file, so that nothing
changes for the design around it, and has names that Verilators of old know too: one that they do
not know is an error. That is why PROCASSINIT, which `-Wall` says since 5.038 of every register
without a reset, is not among them.
"""

from __future__ import annotations

from workbench.exports.core import Core

__all__ = ["STUB_WAIVERS", "VERILOG_WAIVERS", "verilog_file", "without_warnings"]

VERILOG_WAIVERS = {
    "CASEINCOMPLETE": "a case in which nothing happens is left out",
    "DECLFILENAME": "all modules are in one file",
    "UNUSED": "streams and records keep their names where only a part of them is read",
    "VARHIDDEN": "an instance and a signal below it may have one name",
    "WIDTH": "the language extends operands and cuts results, and a test for 0 takes all bits",
}
"""Warnings of Verilator that say nothing of Verilog that Yosys wrote, and why."""

STUB_WAIVERS = {
    "DECLFILENAME": "the module is that of the core, which is in another file",
    "UNDRIVEN": "a black box drives its outputs from inside",
    "UNUSED": "a black box reads its inputs inside",
}
"""The same of the black box."""


def without_warnings(text: str, waivers: dict[str, str]) -> str:
    """`text`, of which Verilator does not say what `waivers` names; after it everything is as
    before.
    """
    # Reasons have lines of their own, since older Verilators take all of a line for the name.
    offs = [f"// {reason}:\n// verilator lint_off {name}\n" for name, reason in waivers.items()]
    return "".join(("// verilator lint_save\n", *offs, text, "// verilator lint_restore\n"))


def verilog_file(core: Core, text: str) -> str:
    """`meadow.v` of the generated text."""
    return core.heading("Verilog", "//") + without_warnings(text, VERILOG_WAIVERS)
