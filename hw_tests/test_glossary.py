# SPDX-License-Identifier: Apache-2.0
"""docs/glossary.md: one line for each word, and what it says of the code is still in the code."""

from __future__ import annotations

import re

from hw_tests.test_floors import FLOORS, ROOT

LINES = re.findall(
    r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.M
)
ROWS = [line for line in LINES if line[0] != "word"]


def test_every_word_has_one_meaning() -> None:
    words = [word for row in ROWS for word in row[0].replace("*", "").split(", ")]
    assert len(words) == len(set(words)) and len(words) > 50
    assert all(len(meaning) > 10 for _, meaning, _ in ROWS)


def test_what_the_last_column_names_is_in_the_code() -> None:
    files = [path for floor in FLOORS for path in (ROOT / floor).rglob("*.py")]
    source = "\n".join(f"{path.name}\n{path.read_text('utf-8')}" for path in files)
    for word, _, in_code in ROWS:
        for name in re.findall(r"`([\w.-]+)`", in_code):
            assert name in source, f"{word}: the code has no {name}; the glossary may say less"
