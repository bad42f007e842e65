# SPDX-License-Identifier: Apache-2.0
"""A waveform's picture: a row per signal, its values where they are, the same text every time; the
one in docs is such a one.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from workbench.pictures.waveform import Row, draw, read_rows

ROOT = Path(__file__).parents[3]
_SVG = "{http://www.w3.org/2000/svg}"
_ROWS = (
    Row("accelerator.array.busy", 1, (0, 1, 1, 0)),
    Row("command_index", 32, (9, 9, 9, 10)),
    Row("m_axi0_rdata", 128, (255, 255, 255, 255)),
)


def _texts(picture: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(picture).iter(f"{_SVG}text")]


def test_a_row_has_a_box_for_every_value() -> None:
    picture = draw(_ROWS, title="Title")
    texts = _texts(picture)
    assert texts[0] == "Title"
    assert [text for text in texts if not text.isdigit()][1:] == [
        *("cycle", "array.busy", "command_index", "m_axi0_rdata", "ff")
    ]
    assert texts.count("9") == 1 and texts.count("10") == 1  # decimal, once for all its cycles
    boxes = list(ElementTree.fromstring(picture).iter(f"{_SVG}rect"))
    assert [box.attrib["class"] for box in boxes[1:4]] == ["grey", "blue", "grey"]
    widths = [float(box.attrib["width"]) for box in boxes[1:]]
    assert widths[1] == 2 * widths[0] and widths[3] == 3 * widths[4] and widths[5] == 4 * widths[0]
    assert draw(_ROWS, title="Title") == picture


def test_what_the_file_does_not_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.vcd").write_text(
        "$timescale 1ns $end $scope module top $end $scope module meadow_top $end "
        "$var wire 1 ! clk $end $var wire 4 % word $end $upscope $end $upscope $end "
        "$enddefinitions $end\n#50\n0!\nb11 %\n#55\n1!\n#60\n0!\nb101 %\n#65\n1!\n"
    )
    path = tmp_path / "x.vcd"
    assert read_rows(path, ["word"], first=5, cycles=2) == [Row("word", 4, (3, 5))]
    with pytest.raises(ValueError, match="has no signal top.meadow_top.nothing"):
        read_rows(path, ["nothing"], first=5, cycles=1)
    for first, cycles in ((4, 2), (6, 2), (5, 0)):
        with pytest.raises(ValueError, match=r"has cycles 5\.\.6, not "):
            read_rows(path, ["word"], first=first, cycles=cycles)


def test_the_picture_in_docs_is_one_of_these() -> None:
    picture = (ROOT / "docs" / "pictures" / "waveform.svg").read_text("utf-8")
    page = (ROOT / "docs" / "waveforms.md").read_text("utf-8")
    assert "](pictures/waveform.svg)" in page
    rows = [text for text in _texts(picture) if text in page.replace("accelerator.", "")]
    assert len(rows) >= 10
