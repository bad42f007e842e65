# SPDX-License-Identifier: Apache-2.0
"""Every file that stands beside the Verilog of a core."""

from __future__ import annotations

from workbench.exports.c_header import c_header
from workbench.exports.core import VERILOG_NAME, Core
from workbench.exports.fusesoc import fusesoc_core
from workbench.exports.ip_xact import ip_xact
from workbench.exports.peakrdl import has_exporters, html_pages, ip_xact_registers
from workbench.exports.rdl import register_map_rdl
from workbench.exports.spdx import licence_text, spdx_document
from workbench.exports.stub import verilog_stub
from workbench.exports.testbench import identity_bench

__all__ = ["MISSING_EXPORTERS", "core_files"]

MISSING_EXPORTERS = (
    "not written: HTML and IP-XACT of the registers, which need the extra exports of MEADOW "
    "(pip install peakrdl-cli peakrdl-html peakrdl-ipxact)"
)


def core_files(core: Core, written: dict[str, bytes]) -> dict[str, bytes]:
    """The files by their paths in the folder, `written` (Verilog and manifest) among them.

    HTML and IP-XACT are there if the extra `exports` is installed.
    """
    rdl = register_map_rdl(core)
    texts = {
        f"{core.top}.rdl": rdl,
        f"{core.top}.h": c_header(core, rdl),
        f"{core.top}.core": fusesoc_core(core),
        f"{core.top}.f": core.heading("Files", "//") + f"{VERILOG_NAME}\n",
        f"{core.top}_stub.v": verilog_stub(core),
        f"{core.top}_tb.sv": identity_bench(core),
        "LICENSE": licence_text(),
    }
    pages: dict[str, bytes] = {}
    if has_exporters():
        texts[f"{core.top}.xml"] = ip_xact(core, ip_xact_registers(core, rdl))
        pages = {f"html/{path}": page for path, page in html_pages(core, rdl).items()}
    files = written | {name: text.encode() for name, text in texts.items()} | pages
    return files | {f"{core.top}.spdx.json": spdx_document(core, files).encode()}
