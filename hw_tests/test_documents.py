# SPDX-License-Identifier: Apache-2.0
"""README and docs: links lead somewhere, and every `meadow` and `make` command that they show exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from workbench.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(text: str, name: str) -> list[list[str]]:
    """Words of the commands that begin with `name`, in code blocks and in code spans."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    found = [line.split("#")[0] for line in lines if line.startswith(f"{name} ")]
    return [shlex.split(re.sub(r"[\[\]]", "", line))[1:] for line in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_meadow_commands_and_options_exist(document: Path) -> None:
    group = typer.main.get_command(app)
    for words in commands(document.read_text(encoding="utf-8"), "meadow"):
        if words[0].startswith("-"):
            continue
        assert words[0] in group.commands, f"{document.name}: meadow {words[0]}"
        known = {
            option for parameter in group.commands[words[0]].params for option in parameter.opts
        }
        for word in words[1:]:
            if word.startswith("-"):
                assert word in known, f"{document.name}: meadow {words[0]} {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    for words in commands(document.read_text(encoding="utf-8"), "make"):
        for word in words:
            assert "=" in word or word in targets, f"{document.name}: make {word}"


def test_readme_shows_commands_at_all() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(commands(text, "meadow")) >= 4
    assert len(commands(text, "make")) >= 2
