# SPDX-License-Identifier: Apache-2.0
"""README and docs: links lead somewhere, and every command that they show exists: `meadow`, `make`,
`pytest`, `python -m`.
"""

from __future__ import annotations

import importlib.util
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
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    found = [line.split("#")[0] for line in lines if line.startswith(f"{name} ")]
    return [shlex.split(re.sub(r"[\[\]]", "", line))[name.count(" ") + 1 :] for line in found]


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
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for words in commands(document.read_text(encoding="utf-8"), "make"):
        for word in words:
            assert "=" in word or word in targets, f"{document.name}: make {word}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_headings_that_links_name_exist(document: Path) -> None:
    for target, heading in re.findall(
        r"\]\(([^)#:]*)#([^)]+)\)", document.read_text(encoding="utf-8")
    ):
        text = (document.parent / target if target else document).read_text(encoding="utf-8")
        titles = [title.lower() for title in re.findall(r"^#+ (.*)$", text, re.M)]
        anchors = {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}
        assert heading in anchors, f"{document.name}: {target}#{heading}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_are_run_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for name in ("python", ".venv/bin/python"):
        for words in commands(text, name):
            if words[0] == "-m":
                assert importlib.util.find_spec(words[1]) is not None, (
                    f"{document.name}: {words[1]}"
                )
            else:
                assert (ROOT / words[0]).is_file(), f"{document.name}: python {words[0]}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_are_run_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for words in [*commands(text, "pytest"), *commands(text, ".venv/bin/python -m pytest")]:
        chosen = [word.partition("::") for word in words if word.startswith("hw_tests")]
        for path, _, name in chosen:
            assert (ROOT / path).exists(), f"{document.name}: pytest {path}"
            if name:
                assert f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path}: {name}"
        if "-k" in words:
            name = words[words.index("-k") + 1]
            files = [ROOT / path for path, _, _ in chosen]
            assert any(re.search(rf"def test_\w*{name}", file.read_text("utf-8")) for file in files)


def test_readme_shows_commands_at_all() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(commands(text, "meadow")) >= 4
    assert len(commands(text, "make")) >= 2
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(commands(contributing, "pytest")) >= 5 and len(commands(contributing, "python")) >= 3
