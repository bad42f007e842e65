# SPDX-License-Identifier: Apache-2.0
"""Packages of others with names of ours are named in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import meadow_start
from meadow_start import PACKAGES

ROOT = Path(__file__).parents[1]
ADVICE = "install MEADOW in an environment of its own"


def _package(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    file = folder / name / "__init__.py"
    file.write_text("")
    return file


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which something like MEADOW is installed."""
    site = tmp_path / "site"
    for name in PACKAGES:
        _package(site, name)
    (site / "workbench" / "cli.py").write_text("def main():\n    print('ran')\n")
    shutil.copy(meadow_start.__file__, site)
    record = "meadow_start.py,,\n" + "".join(f"{name}/__init__.py,,\n" for name in PACKAGES)
    _distribution(site, "meadow", record)
    return site


def _distribution(site: Path, name: str, record: str) -> None:
    folder = site / f"{name}-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (folder / "RECORD").write_text(record)


def _started(site: Path, *path: Path) -> tuple[int, str, str]:
    """Exit code and streams of the command with `path` before everything else that is searched."""
    script = f"import sys\nsys.path[:0] = {[str(p) for p in path]}\nimport meadow_start as start\n"
    result = subprocess.run(
        [sys.executable, "-I", "-c", script + "start.main()"],
        cwd=site.parent,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout, result.stderr


def test_packages_are_those_that_are_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    tool = project["tool"]["setuptools"]
    included = {name.removesuffix("*") for name in tool["packages"]["find"]["include"]}
    assert included == set(PACKAGES) and tool["py-modules"] == ["meadow_start"]
    assert project["project"]["scripts"]["meadow"] == "meadow_start:main"


def test_alone_nothing_is_said(site: Path) -> None:
    _distribution(site, "other", "others/__init__.py,,\nboards_of_mine/__init__.py,,\n")
    assert _started(site, site) == (0, "ran\n", "")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_found_first_is_named(name: str, site: Path, tmp_path: Path) -> None:
    file = _package(tmp_path / "first", name)
    line = f"meadow: package {name} is not that of MEADOW, but {file}: {ADVICE}\n"
    assert _started(site, tmp_path / "first", site) == (2, "", line)


def test_a_module_or_a_missing_package_is_named(site: Path, tmp_path: Path) -> None:
    module = tmp_path / "first" / "cosim.py"
    module.parent.mkdir()
    module.write_text("")
    code, _, said = _started(site, module.parent, site)
    assert (code, said) == (
        2,
        f"meadow: package cosim is not that of MEADOW, but {module}: {ADVICE}\n",
    )
    (site / "rtl_gen" / "__init__.py").unlink()
    code, _, said = _started(site, site)
    assert (code, said) == (2, f"meadow: package rtl_gen is missing in {site}: {ADVICE}\n")


def test_a_distribution_that_wrote_into_the_same_folder_is_named(site: Path) -> None:
    _distribution(site, "other", "other.py,,\nboards/pins.py,,\n")
    line = f"meadow: package boards is also one of other 1.5: {ADVICE}\n"
    assert _started(site, site) == (2, "", line)


def test_a_package_that_is_hidden_is_a_note(site: Path, tmp_path: Path) -> None:
    file = _package(tmp_path / "later", "firmware")
    line = f"meadow: package firmware of MEADOW hides {file}: {ADVICE} if that is needed\n"
    assert _started(site, site, tmp_path / "later") == (0, "ran\n", line)
