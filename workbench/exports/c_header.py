# SPDX-License-Identifier: Apache-2.0
"""The register map as a C header, by PeakRDL-cheader from the SystemRDL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.exports.core import Core

if TYPE_CHECKING:
    from systemrdl.node import RootNode

__all__ = ["c_header", "compiled_rdl"]


def compiled_rdl(text: str, folder: Path) -> RootNode:
    """The register model of a SystemRDL text, which is left in `folder`; RDLCompileError if it is
    none.
    """
    from systemrdl.compiler import RDLCompiler  # which other commands need not wait for

    file = folder / "registers.rdl"
    file.write_text(text, "utf-8")
    compiler = RDLCompiler()
    compiler.compile_file(str(file))
    return compiler.elaborate()


def c_header(core: Core, rdl: str) -> str:
    """A struct of the register file, and masks, positions and reset values of all fields.

    Before them: the values of registers that hold one of several, which PeakRDL leaves out.
    """
    from peakrdl_cheader.exporter import CHeaderExporter

    codes = "".join(
        f"#define {core.top.upper()}__{register.name.upper()}__{code.name} {code.value}\n"
        for register in core.registers
        for code in register.codes
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        header = folder / f"{core.top}.h"  # of which the name of the guard is made
        CHeaderExporter().export(compiled_rdl(rdl, folder), str(header))
        # Registers lie at words: without this a compiler for a processor that cannot read across
        # words would read and write them byte by byte, which the core answers with an error.
        text = header.read_text("utf-8").replace(
            "((__packed__))", "((__packed__, __aligned__ (4)))"
        )
        return core.heading("Registers", "//") + "\n" + codes + "\n" + text
