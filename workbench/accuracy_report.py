# SPDX-License-Identifier: Apache-2.0
"""What an image says of its own accuracy: warnings on stderr, and a summary in words."""

from __future__ import annotations

from typing import Any

from meadow.spec.image import Manifest
from workbench.console import say

__all__ = ["accuracy_lines", "warn_of_accuracy"]


def warn_of_accuracy(manifest: Manifest) -> None:
    """Say on stderr, a line each, what the compiler warned of when it made the image."""
    found = _measured(manifest).get("warnings")
    for text in found if isinstance(found, list) else ():
        # The file may hold anything: nothing in it ends the line or drives the terminal.
        said = "".join(one if one.isprintable() else repr(one)[1:-1] for one in str(text))
        say(f"meadow: WARNING: {said}", err=True)


def accuracy_lines(manifest: Manifest) -> list[str]:
    """The measurement in words: what was measured, the worst unit, the logits; nothing if there was none."""
    accuracy = _measured(manifest)
    if not accuracy:
        return []
    worst, last = accuracy["worst"], accuracy["layers"][-1]
    sinks = f", {accuracy['sinks']} sinks left out" if accuracy["sinks"] else ""
    return [
        f"error to float, median and percentile {accuracy['percentile']} of {accuracy['tokens']} tokens{sinks}:",
        f"  worst on its own  {worst['name']:<20} {_figures(worst)}",
        f"  all together      {last['name']:<20} {_figures(last)}",
    ]


def _figures(entry: dict[str, Any]) -> str:
    cosine = f"cosine {entry['cosine_median']:.4f} and {entry['cosine_worst']:.4f}"
    return f"{cosine}, SNR {entry['snr_db_median']:.1f} and {entry['snr_db_worst']:.1f} dB"


def _measured(manifest: Manifest) -> dict[str, Any]:
    """The image's notes on accuracy; none in images of synthetic models and of earlier compilers."""
    found = manifest.notes.get("accuracy")
    return found if isinstance(found, dict) else {}
