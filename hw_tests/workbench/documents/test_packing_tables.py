# SPDX-License-Identifier: Apache-2.0
"""Tables of docs/packing.md out of reports, and the published document against the stored ones."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.documents.measurements import FOLDER, load
from workbench.documents.packing_tables import PACKING_TABLES
from workbench.documents.runs import PACKING_RUNS
from workbench.packing.figures import PACKINGS

ROW = {"entropy": 4.9619, "raw": 8.0017, "dictionary": 5.4177, "rice": 5.0621, "auto": 5.0621}
VARIANT = {
    name: {"one_table": 5.7251, "streams": 6.2083} for name in ("naive", "chunk2", "chunk1", "best")
}
REPORT = {"table": {"w8-tensor": ROW}, "dictionary_variants": {"w8-tensor": VARIANT}}


def step(name: str, bits: float | None, one: float | None, published: float | None) -> Any:
    return {
        "step": name,
        "bits_per_weight": bits,
        "ratio": bits and 8 / bits,
        "one_table_bits_per_weight": one,
        "one_table_ratio": one and 8 / one,
        "published_ratio": published,
    }


CASE = {
    "name": "fc2-like",
    "shape": [768, 3072],
    "degrees": 4,
    "unique_chunks": {"1": 72, "2": 602},
    "entropy_bits": 2.5,
    "steps": [step("naive", None, 5, 1.4), step("rice", 2.5, None, None)],
}


def cells(name: str, reports: dict[str, Any]) -> list[list[str]]:
    rows = PACKING_TABLES[name](reports.get).split("\n")
    found = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len({len(row) for row in found}) == 1, "every line has as many cells as the head"
    return found


def test_grids_have_a_column_per_codec() -> None:
    rows = cells("packing-grids", {"packing-minilm": REPORT})
    assert rows[0] == ["grid", "entropy", *PACKINGS]
    assert rows[2] == ["w8-tensor", "4.962", "8.002", "5.418", "5.062", "5.062"]


def test_variants_are_counted_twice() -> None:
    rows = cells("packing-variants", {"packing-minilm": REPORT})
    assert rows[0][1:] == ["w8-tensor, one table", "w8-tensor, streams"]
    assert len(rows) == 2 + 4 and rows[2][1:] == ["5.725", "6.208"]


def test_steps_stand_beside_published_ones() -> None:
    rows = cells("packing-steps", {"packing-steps": {"cases": [CASE, CASE]}})
    assert rows[0][1:] == ["fc2-like 768×3072, ν = 4"] * 2 + ["published"]
    assert rows[2] == ["unique pairs", "602", "602", "1,272"]
    assert rows[3][1] == "2.500, 3.20×"
    assert rows[4][1:] == ["5.000, 1.60×"] * 2 + ["1.4×"] and "one table" in rows[4][0]
    assert rows[5][1:] == ["does not fit"] * 2 + [""] and "streams" in rows[5][0]
    assert rows[6][1:] == ["2.500, 3.20×"] * 2 + [""] and len(rows) == 7


@pytest.mark.parametrize("name", PACKING_TABLES)
def test_a_table_waits_for_its_run(name: str) -> None:
    assert PACKING_TABLES[name](lambda _: None) == "Not measured yet."


def test_the_document_shows_what_is_stored() -> None:
    assert all(load(name) is not None for name in PACKING_RUNS)
    text = (FOLDER.parent / "packing.md").read_text("utf-8")
    for name, table in PACKING_TABLES.items():
        assert f"<!-- {name} -->\n{table(load)}\n<!-- /{name} -->" in text
