# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/packing.md out of stored reports."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.documents.measurement_tables import Load, Table, markdown
from workbench.packing.ablation import STEP_TEXTS
from workbench.packing.figures import PACKINGS

__all__ = ["PACKING_TABLES"]

_MISSING = "Not measured yet."
_VARIANT_TEXTS = {
    "naive": "fixed-width indices, chunk 2",
    "chunk2": "+ packet precision + frequency order, chunk 2",
    "chunk1": "the same, chunk 1",
    "best": "the best chunk (one table: and packet size) for each matrix",
}
_KINDS = {"one_table": "one table", "streams": "streams"}


def _grids(load: Load) -> str:
    """Bits per weight by grid and codec."""
    report = load("packing-minilm")
    if report is None:
        return _MISSING
    columns = ("entropy", *PACKINGS)
    rows = [
        [grid, *(f"{row[name]:.3f}" for name in columns)] for grid, row in report["table"].items()
    ]
    return markdown(("grid", *columns), rows)


def _variants(load: Load) -> str:
    """MEADOW's packing on MiniLM, one table against the ports' streams."""
    report = load("packing-minilm")
    if report is None:
        return _MISSING
    grids = report["dictionary_variants"]
    rows = [
        [
            text,
            *(f"{grids[grid][name][kind]:.3f}" for grid in grids for kind in _KINDS),
        ]
        for name, text in _VARIANT_TEXTS.items()
    ]
    return markdown(("", *(f"{grid}, {text}" for grid in grids for text in _KINDS.values())), rows)


def _steps(load: Load) -> str:
    """The ablation, a column for each matrix."""
    reports = [load(name) for name in ("packing-steps", "packing-student-4")]
    cases = [case for report in reports if report is not None for case in report["cases"]]
    if not cases:
        return _MISSING
    head = [
        f"{case['name']} {case['shape'][0]}×{case['shape'][1]}, ν = {case['degrees']:g}"
        for case in cases
    ]
    rows = [
        ["unique pairs", *(f"{case['unique_chunks']['2']:,}" for case in cases), "1,272"],
        [
            "entropy",
            *(f"{case['entropy_bits']:.3f}, {8 / case['entropy_bits']:.2f}×" for case in cases),
            "",
        ],
    ]
    for index, step in enumerate(cases[0]["steps"]):
        for prefix, kind in (("one_table_", "one table"), ("", "streams")):
            found = [case["steps"][index] for case in cases]
            if prefix and all(one[f"{prefix}ratio"] is None for one in found):
                continue  # rice has no table
            cells = [
                "does not fit"
                if one[f"{prefix}ratio"] is None
                else f"{one[f'{prefix}bits_per_weight']:.3f}, {one[f'{prefix}ratio']:.2f}×"
                for one in found
            ]
            published = step["published_ratio"] if prefix else None
            cells.append("" if published is None else f"{published:g}×")
            rows.append([f"{STEP_TEXTS[step['step']]}, {kind}", *cells])
    return markdown(("bits per weight, ratio to INT8", *head, "published"), rows)


PACKING_TABLES: Mapping[str, Table] = {
    "packing-grids": _grids,
    "packing-variants": _variants,
    "packing-steps": _steps,
}
"""Marker in docs/packing.md -> its table."""
