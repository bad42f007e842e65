# SPDX-License-Identifier: Apache-2.0
"""The published figures: every run of README, docs/performance.md, docs/packing.md,
docs/memory-system.md and docs/real-models.md by name, its JSON in docs/measurements/, the tables. A
report says in `commit` which sources it was made with.

python -m workbench.documents.measurements run [NAME ...]     (again; all that are missing without
names) python -m workbench.documents.measurements list               (every run and its command)
python -m workbench.documents.measurements tables             (into the documents, between their
markers)
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from meadow.atomic_write import replacing
from workbench.documents.accuracy_tables import ACCURACY_TABLES
from workbench.documents.first_screen import FIRST_SCREEN_RUNS, FIRST_SCREEN_TABLES
from workbench.documents.measurement_tables import TABLES, Load, Table, markdown
from workbench.documents.memory_tables import MEMORY_TABLES
from workbench.documents.packing_tables import PACKING_TABLES
from workbench.documents.routing_tables import ROUTING_TABLES
from workbench.documents.runs import (
    CHAT_RUNS,
    DEMO_RUNS,
    NAMES,
    PACKING_RUNS,
    RAW_IMAGE,
    RUNS,
    SMOLLM2,
    SMOLLM2_RAW,
    command_line,
)
from workbench.documents.synthesis_tables import SYNTHESIS_TABLES
from workbench.models.smollm2 import smollm2_path

__all__ = ["DOCUMENTS", "FOLDER", "checkout_commit", "load", "main"]

FOLDER = Path(__file__).parents[2] / "docs" / "measurements"
"""Where reports are stored."""
_PARALLEL = 2
_SOURCES = ("meadow", "rtl_gen", "firmware", "cosim", "boards", "workbench", "pyproject.toml")


def _commits(kept: Callable[[str], bool]) -> Table:
    """Which commit the stored runs were made with whose names are `kept`."""

    def table(load: Load) -> str:
        runs: dict[str, list[str]] = {}
        for name in filter(kept, NAMES):
            report = load(name)
            if report is not None:
                runs.setdefault(report["commit"], []).append(f"`{name}`")
        return markdown(
            ("made with commit", "runs"),
            [[f"`{commit}`", ", ".join(names)] for commit, names in sorted(runs.items())],
        )

    return table


def _first_screen(load: Load) -> str:
    """What stands behind README's first lines."""
    rows = []
    for line, names in FIRST_SCREEN_RUNS.items():
        for name in names:
            report = load(name)
            if report is None:
                continue
            simulated = "whole"
            if name in RUNS:
                simulated = (
                    f"{report['layers_simulated']} of {report['layers_total']} layers, "
                    f"{report['head_channels_simulated']} of {report['head_channels_total']} head "
                    f"channels"
                )
            rows.append(
                [line, f"`{name}`", f"`{command_line(name)}`", simulated, f"`{report['commit']}`"]
            )
    return markdown(("README's line", "run", "command", "simulated", "commit"), rows)


def _is_memory(name: str) -> bool:
    return name.startswith("memory-")


def _is_performance(name: str) -> bool:
    return name in DEMO_RUNS or (name in RUNS and not _is_memory(name))


DOCUMENTS: Mapping[str, Mapping[str, Table]] = {
    "performance.md": {
        **TABLES,
        **ROUTING_TABLES,
        **SYNTHESIS_TABLES,
        "first-screen": _first_screen,
        "commits": _commits(_is_performance),
    },
    "packing.md": {**PACKING_TABLES, "commits": _commits(PACKING_RUNS.__contains__)},
    "memory-system.md": {**MEMORY_TABLES, "commits": _commits(_is_memory)},
    "real-models.md": {**ACCURACY_TABLES, "commits": _commits(CHAT_RUNS.__contains__)},
    "../README.md": FIRST_SCREEN_TABLES,
}
"""Documents as seen from docs -> their markers and tables."""


def load(name: str) -> dict[str, Any] | None:
    """The stored report of a run, or None."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def checkout_commit() -> str:
    """Short hash of the checkout's commit, with "-dirty" behind it if sources were changed since.

    ValueError outside a git checkout: a figure without its commit cannot be repeated.
    """
    here = ["git", "-C", str(Path(__file__).parents[2])]
    try:
        commit, changes = (
            subprocess.run([*here, *arguments], capture_output=True, text=True, check=True).stdout
            for arguments in (
                ["rev-parse", "--short=7", "HEAD"],
                ["status", "--porcelain", "--", *_SOURCES],
            )
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(
            f"figures are stored in a git checkout, to name its commit: {error}"
        ) from None
    return commit.strip() + ("-dirty" if changes.strip() else "")


def _meadow(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workbench.cli", *arguments], capture_output=True, text=True
    )


def _with_smollm2(arguments: list[str], folder: Path) -> list[str]:
    """Arguments with the names of SmolLM2 replaced by its files, of which the image is made in
    `folder`; ValueError if it is not installed or cannot be compiled.
    """
    if SMOLLM2 in arguments or SMOLLM2_RAW in arguments:
        image = folder / "raw.meadow"
        files = {SMOLLM2: str(smollm2_path()), SMOLLM2_RAW: str(image)}
        if SMOLLM2_RAW in arguments:
            made = _meadow([files.get(word, word) for word in shlex.split(RAW_IMAGE)])
            if made.returncode:
                raise ValueError(f"exit {made.returncode}: {made.stderr.strip()[-500:]}")
        return [files.get(word, word) for word in arguments]
    return arguments


def _run(name: str, commit: str) -> bool:
    """Run and store; False (and what was there stays) if the run failed or differed from golden."""
    begin = time.monotonic()
    arguments = shlex.split(command_line(name))[1:]
    with tempfile.TemporaryDirectory() as folder:
        try:
            arguments = _with_smollm2(arguments, Path(folder))
        except ValueError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return False
        result = _meadow(arguments)
    if result.returncode:
        print(f"{name}: exit {result.returncode}: {result.stderr.strip()[-500:]}", file=sys.stderr)
        return False
    report = {"commit": commit, **json.loads(result.stdout)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    with replacing(FOLDER / f"{name}.json", "the report") as file:
        file.write((json.dumps(report, indent=1) + "\n").encode())
    figures = ""
    if name in RUNS:
        figures = (
            f"{report['cycles']:,} cycles, array {report['array_utilisation']:.3f}, "
            f"bandwidth {report['bandwidth_utilisation']:.3f}, "
        )
    print(f"{name}: {figures}{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return True


def _replace_between(text: str, document: str, name: str, content: str) -> str:
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(first) != 1 or text.count(last) != 1:
        raise ValueError(f"{document} must have the markers {first} and {last} once")
    start, end = text.index(first) + len(first), text.index(last)
    return f"{text[:start]}\n{content}\n{text[end:]}"


def _tables() -> None:
    for document, tables in DOCUMENTS.items():
        path = FOLDER.parent / document
        text = path.read_text("utf-8")
        for name, table in tables.items():
            text = _replace_between(text, document, name, table(load))
        with replacing(path, "the document") as file:
            file.write(text.encode())


def main(arguments: Sequence[str]) -> int:
    """`run`, `list` or `tables`; exit code 1 if a run failed, 2 for wrong usage or a document
    without markers.
    """
    match list(arguments):
        case ["tables"]:
            try:
                _tables()
            except ValueError as error:
                print(error, file=sys.stderr)
                return 2
            return 0
        case ["list"]:
            for name in NAMES:
                print(f"{name:<28} {command_line(name)}")
            return 0
        case ["run", *names]:
            known = NAMES
            unknown = [name for name in names if name not in known]
            if unknown:
                print(
                    f"unknown runs {', '.join(unknown)}; there are {', '.join(known)}",
                    file=sys.stderr,
                )
                return 2
            chosen = names or [name for name in known if load(name) is None]
            try:
                commit = checkout_commit()
            except ValueError as error:
                print(error, file=sys.stderr)
                return 2
            with ThreadPoolExecutor(_PARALLEL) as pool:
                return 0 if all(list(pool.map(lambda name: _run(name, commit), chosen))) else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
