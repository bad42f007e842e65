# SPDX-License-Identifier: Apache-2.0
"""HTML and the memory map of IP-XACT, by the exporters of PeakRDL from the SystemRDL; they are the
extra `exports`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rtl_gen.blocks.prefix import IP_LIBRARY, IP_VENDOR
from workbench.exports.c_header import compiled_rdl
from workbench.exports.core import Core

__all__ = ["has_exporters", "html_pages", "ip_xact_registers"]

_PACKAGES = ("peakrdl", "peakrdl_html", "peakrdl_ipxact")
_HTML_LICENCES = ("LICENSE", "LICENSE-3RD-PARTY")
# GitPython, which the HTML exporter imports for links that are not wanted here, refuses to be
# imported where there is no git.
_WITHOUT_GIT = {"GIT_PYTHON_REFRESH": "quiet"}


def has_exporters() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(package) for package in _PACKAGES)


def html_pages(core: Core, rdl: str) -> dict[str, bytes]:
    """The pages by their paths, and the licences of the scripts and fonts that come with them."""
    os.environ.update(_WITHOUT_GIT)
    from peakrdl_html.exporter import HTMLExporter

    footer = f"MEADOW {core.version}, {core.configuration}, contract {core.contract}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A stamp of the time would make other bytes each time, and links to sources name a folder.
        exporter = HTMLExporter(user_context={"build_ts": 0}, generate_source_links=False)
        exporter.export(
            compiled_rdl(rdl, folder),
            str(folder / "html"),
            footer=footer,  # pyright: ignore[reportArgumentType]  # which it takes for a table
        )
        pages = {
            path.relative_to(folder / "html").as_posix(): path.read_bytes()
            for path in sorted((folder / "html").rglob("*"))
            if path.is_file()
        }
    distribution = importlib.metadata.distribution("peakrdl-html")
    for licence in _HTML_LICENCES:
        pages[licence] = (distribution.read_text(f"licenses/{licence}") or "").encode()
    return pages


def ip_xact_registers(core: Core, rdl: str) -> str:
    """IP-XACT 2014 of the registers alone.

    The exporter is under the GPL: it is run as a program of its own, and no part of it is linked.
    """
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "registers.rdl").write_text(rdl, "utf-8")
        options = ("--vendor", IP_VENDOR, "--library", IP_LIBRARY)
        subprocess.run(
            [
                *(sys.executable, "-m", "peakrdl", "ip-xact", "registers.rdl", "-o", "core.xml"),
                *options,
                *("--version", core.version),
            ],
            cwd=name,
            env=os.environ | _WITHOUT_GIT,
            check=True,
            capture_output=True,
        )
        return (Path(name) / "core.xml").read_text("utf-8")
