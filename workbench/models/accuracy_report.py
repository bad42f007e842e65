# SPDX-License-Identifier: Apache-2.0
"""What an image says of its own accuracy: warnings, and a summary in words."""

from __future__ import annotations

from typing import Any

from meadow.spec.image import Manifest

__all__ = ["accuracy_lines", "accuracy_warnings"]


def accuracy_warnings(manifest: Manifest) -> list[str]:
    """What the compiler warned of when it measured the image, a sentence each."""
    found = _measured(manifest).get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []


def accuracy_lines(manifest: Manifest) -> list[str]:
    """The measurement in words: what was measured, the worst unit, the logits; nothing if there was
    none.
    """
    accuracy = _measured(manifest)
    if not accuracy:
        return []
    worst, last = accuracy["worst"], accuracy["layers"][-1]
    sinks = f", {accuracy['sinks']} sinks left out" if accuracy["sinks"] else ""
    return [
        f"error to float, median and percentile {accuracy['percentile']} of {accuracy['tokens']} "
        f"tokens{sinks}:",
        f"  worst on its own  {worst['name']:<20} {_figures(worst)}",
        f"  all together      {last['name']:<20} {_figures(last)}",
    ]


def _figures(entry: dict[str, Any]) -> str:
    cosine = f"cosine {entry['cosine_median']:.4f} and {entry['cosine_worst']:.4f}"
    return f"{cosine}, SNR {entry['snr_db_median']:.1f} and {entry['snr_db_worst']:.1f} dB"


def _measured(manifest: Manifest) -> dict[str, Any]:
    """The image's notes on accuracy; none in images of synthetic models and of earlier
    compilers.
    """
    found = manifest.notes.get("accuracy")
    return found if isinstance(found, dict) else {}
