# SPDX-License-Identifier: Apache-2.0
"""The tables of synthesised counts and modelled paths."""

from __future__ import annotations

from typing import Any

from workbench.documents.synthesis_tables import SYNTHESIS_RUNS, SYNTHESIS_TABLES

KINDS = ("lut_raw", "lut_absorbed", "lutram", "ff_raw", "ff_absorbed", "dsp", "ramb36", "uram")


def _counts(first: int) -> dict[str, int]:
    return {kind: first + place for place, kind in enumerate(KINDS)}


def _resources() -> dict[str, Any]:
    return {
        "commit": "0123abc",
        "blocks": [
            {"name": "memory_port", "copies": 4, **_counts(1000)},
            {"name": "lane", "copies": 16, **_counts(500)},
        ],
        "total": {**_counts(12000), "control_sets": 77, "reset_loads": 1234},
        "device": {"name": "xczu9eg", "shares_percent": {"lut": 69.6, "dsp": 71.0}},
    }


def test_blocks_stand_by_what_all_copies_take() -> None:
    head, _, *rows = SYNTHESIS_TABLES["blocks"]({"resources-zcu102": _resources()}.get).splitlines()
    assert head.startswith("| block | copies | LUT | LUT absorbed |")
    assert rows[0] == "| lane | 16 | 500 | 501 | 502 | 503 | 504 | 505 | 506 | 507 |"
    assert rows[1].startswith("| memory port | 4 | 1,000 | 1,001 |")
    assert rows[2].startswith("| **all** |  | **12,000** | **12,001** |")


def test_a_configuration_stands_beside_its_device() -> None:
    stored = {"resources-kv260": _resources()}
    _, _, row = SYNTHESIS_TABLES["sizes"](stored.get).splitlines()
    assert row.startswith("| `kv260` | 12,000 | 12,001 |")
    assert row.endswith("| 77 | 1,234 | 69.6 % LUT · 71 % DSP of `xczu9eg` | `0123abc` |")


def test_paths_of_both_models_stand_by_configuration() -> None:
    report = {
        "blocks": [{"name": "array_control", "worst": {"full_ns": 4.5182, "budget_ns": 3.1}}],
        "worst": {"full_ns": 4.5182, "budget_ns": 3.6},
    }
    head, _, row, last = SYNTHESIS_TABLES["paths"]({"timing-zcu102": report}.get).splitlines()
    assert head == "| block | `zcu102`, full ns | `zcu102`, budget ns |"
    assert (
        row == "| array control | 4.52 | 3.10 |" and last == "| **slowest** | **4.52** | **3.60** |"
    )


def test_without_reports_a_table_says_so() -> None:
    assert {table({}.get) for table in SYNTHESIS_TABLES.values()} == {"Not measured yet."}
    assert all(" --config " in line for line in SYNTHESIS_RUNS.values())
