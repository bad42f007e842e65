# SPDX-License-Identifier: Apache-2.0
"""A wheel of the project, installed into an environment of its own, works without the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from meadow.spec.config import named_config
from meadow_start import PACKAGES

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.long]


def _run(words: list[str], folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """With nothing of the checkout in reach: neither a path nor its cache."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        words,
        cwd=folder,
        env=kept
        | {name: v for name, v in os.environ.items() if name.startswith("PIP_")}
        | {"MEADOW_CACHE": str(cache)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by the project's own back end, of a copy, since it leaves files in its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    for name in ("meadow_start.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    result = _run([*words, str(source)], folder, folder / "cache")
    assert result.returncode == 0, result.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv" / "bin" / "python"
    for words in (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(python), "-m", "pip", "install", "--quiet", str(wheel)],
    ):
        result = _run(words, folder, folder / "cache")
        assert result.returncode == 0, result.stderr
    return python.with_name("meadow")


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    firsts = {name.split("/")[0] for name in names}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert firsts == {*PACKAGES, "meadow_start.py", f"meadow-{version}.dist-info"}
    kept = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    documents = {name for name in kept if name.endswith(".md")}
    assert kept - documents - set(names) == set()


def test_the_command_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    folder, cache = tmp_path / "empty", tmp_path / "cache"
    folder.mkdir()
    result = _run([str(installed), "--help"], folder, cache)
    assert (result.returncode, result.stderr) == (0, "") and "generate" in result.stdout
    words = [str(installed), "generate", "--config", "tiny", "--out", "core", "--json"]
    result = _run(words, folder, cache)
    assert result.returncode == 0, result.stderr
    assert "not written: HTML and IP-XACT" in result.stderr
    report = json.loads(result.stdout)
    there = {p.relative_to(folder / "core").as_posix() for p in (folder / "core").rglob("*")}
    assert set(report["files"]) == there >= {"meadow.v", "meadow_top.h", "LICENSE"}
    text = (folder / "core" / "meadow.v").read_text("utf-8")
    assert generated_verilog(named_config("tiny")) in text
    assert (folder / "core" / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")
    words = [str(installed), "run", "--config", "tiny", "--max-tokens", "2", "--device", "golden"]
    result = _run(words, folder, cache)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\w", result.stdout)
    assert {path.name for path in folder.iterdir()} == {"core"}


def test_a_distribution_with_a_name_of_ours_is_named(installed: Path, tmp_path: Path) -> None:
    """Another distribution that has a package `boards` in the same environment."""
    other = tmp_path / "other-1.5-py3-none-any.whl"
    about = "other-1.5.dist-info"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("boards/pins.py", "")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: other\nVersion: 1.5\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    pip = [str(installed.with_name("python")), "-m", "pip"]
    result = _run([*pip, "install", "--quiet", str(other)], tmp_path, tmp_path)
    assert result.returncode == 0, result.stderr
    result = _run([str(installed), "--help"], tmp_path, tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "meadow: package boards is also one of other 1.5: "
        "install MEADOW in an environment of its own\n"
    )
    assert _run([*pip, "uninstall", "--quiet", "-y", "other"], tmp_path, tmp_path).returncode == 0
    assert _run([str(installed), "--help"], tmp_path, tmp_path).returncode == 0
