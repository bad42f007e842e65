# SPDX-License-Identifier: Apache-2.0
"""Timing diagrams of units alone, as WaveDrom text: recorded from their Verilog, in `timing/`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["TIMING_FOLDER", "unit_diagrams"]

TIMING_FOLDER = Path(__file__).parent / "timing"


def unit_diagrams(unit: str) -> dict[str, str]:
    """The diagrams of a unit: file name -> text."""
    paths = sorted(TIMING_FOLDER.glob(f"{unit}-*.json"))
    return {path.name: path.read_text("utf-8") for path in paths}
