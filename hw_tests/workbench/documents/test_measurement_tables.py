# SPDX-License-Identifier: Apache-2.0
"""Tables out of reports: numbers, ratios, and lines that wait for their run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from workbench.bench.report import STALLS
from workbench.documents.measurement_tables import TABLES
from workbench.documents.runs import RUNS

REPORT: Mapping[str, Any] = {
    "chunk_tokens": 128,
    "chunks_simulated": 4,
    "chunks_total": 4,
    "layers_simulated": 1,
    "layers_total": 12,
    "cycles": 1_000_000,
    "array_busy": 900_000,
    "array_utilisation": 0.876,
    "array_utilisation_layers": 0.899,
    "tokens_per_s": 150.4,
    "bandwidth_utilisation": 0.432,
    "weights_per_cycle": 25.04,
    "checked": 123_456,
    "time_ms": 50.0,
    "dram_bytes": {"weights": 3_000_000, "kv_read": 2_000_000, "activations": 1_000_000},
    "stalls": dict.fromkeys(STALLS, 10_000),
}


def lines(name: str, reports: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    def load(run: str) -> dict[str, Any] | None:
        assert run in RUNS
        return dict(reports[run]) if run in reports else None

    rows = TABLES[name](load).split("\n")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len({len(row) for row in cells}) == 1, "every line has as many cells as the head"
    return cells


@pytest.mark.parametrize(("name", "count"), [("prefill", 9), ("decode", 5), ("stalls", 9)])
def test_a_run_has_a_line_once_it_is_there(name: str, count: int) -> None:
    assert len(lines(name, {})) == 2
    full = lines(name, dict.fromkeys(RUNS, REPORT))
    assert len(full) == 2 + count


def test_prefill_says_what_was_simulated() -> None:
    part = dict(REPORT) | {"chunks_simulated": 1}
    rows = lines("prefill", {"prefill-opt-125m": REPORT, "attention-512": part})
    assert rows[2] == [
        *("OPT-125M, 512 tokens", "128", "1 of 12 layers", "1,000,000", "**89.9%**", "87.6%"),
        "123,456",
        "`prefill-opt-125m`",
    ]
    assert rows[3][2] == "1 of 12 layers, 1 of 4 chunks"


def test_decode_shows_bytes() -> None:
    rows = lines("decode", {"batch-8": REPORT})
    assert rows[2][2:5] == ["1,000,000", "3,000,000", "2,000,000"]
    assert rows[2][5:] == ["43.2%", "25.0", "123,456", "`batch-8`"]


def test_the_first_token_is_compared_with_the_baseline() -> None:
    reports = {
        f"ttft-opt-125m-6-{dataflow}-{codec}": dict(REPORT) | {"time_ms": time}
        for dataflow, codec, time in (
            *(("tphs", "raw", 50.0), ("tphs", "auto", 40.0)),
            *(("gemm", "raw", 100.0), ("gemm", "auto", 90.0)),
        )
    }
    row = next(row for row in lines("first-token", reports) if row[0] == "opt-125m, 6 Gbit/s")
    assert row[1] == "50 ms, 128, 6 MB" and row[5:] == ["2.00×", "2.50×", "1 of 12 layers"]
    del reports["ttft-opt-125m-6-gemm-raw"]
    row = next(row for row in lines("first-token", reports) if row[0] == "opt-125m, 6 Gbit/s")
    assert row[3] == "not measured" and row[5:] == ["", "", "1 of 12 layers"]


def test_contexts_and_batches_are_compared() -> None:
    longer = dict(REPORT) | {
        "cycles": 1_100_000,
        "dram_bytes": {"weights": 3, "kv_read": 8_400_000},
    }
    reports = {"decode-64": REPORT, "decode-1024": longer, "batch-1": REPORT, "batch-8": longer}
    reports["meadow-conditions"] = REPORT

    def load(run: str) -> dict[str, Any] | None:
        return dict(reports[run]) if run in reports else None

    text = TABLES["context"](load)
    assert "100,000 cycles more for 6,400,000 more bytes" in text and "1.000 of the cycles" in text
    assert "1.100 of the cycles of one, weight bytes 3 against 3,000,000" in text
    assert "**150 tokens per second**" in text and "1 of 12 layers simulated" in text
    assert TABLES["context"](lambda run: None) == "Not measured yet."


def test_stalls_are_shares() -> None:
    row = lines("stalls", {"decode-64": REPORT})[2]
    assert row == ["`decode-64`", "90.00%", *["1.00%"] * len(STALLS)]
