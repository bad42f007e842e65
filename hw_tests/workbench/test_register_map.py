# SPDX-License-Identifier: Apache-2.0
"""docs/register-map.md is what the contract generates."""

from __future__ import annotations

from pathlib import Path

from workbench.register_map import register_map_markdown


def test_document_is_current() -> None:
    document = Path(__file__).parents[2] / "docs" / "register-map.md"
    assert document.read_text(encoding="utf-8") == register_map_markdown(), "run `make docs`"
