# SPDX-License-Identifier: Apache-2.0
"""Every signal has a name that the source gives, and so the same one under every Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Fragment

from hw_tests.marks import slow
from hw_tests.rtl_gen.given_names import taken_names, unnamed_calls
from meadow.spec.config import named_config
from rtl_gen.top import Accelerator

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("config", ["tiny", slow("small")])
def test_amaranth_finds_no_name_that_depends_on_the_python(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a whole chip, lanes and memory banks included."""
    with taken_names(monkeypatch) as seen:
        Fragment.get(Accelerator(config=named_config(config)), None)
    assert len(seen) > 500
    assert [place for place, found in seen.items() if not found] == []
    assert [place for place in seen if place.endswith("signal") or "$" in place] == []


def test_no_source_makes_a_signal_without_a_name() -> None:
    """Of any unit, also where no configuration above leads."""
    sources = [
        *(path for folder in ("rtl_gen", "boards") for path in (_ROOT / folder).rglob("*.py")),
        *(
            _ROOT / "hw_tests" / name
            for name in ("cosim/copy_engine.py", "rtl_gen/dma/read_bench.py")
        ),
    ]
    assert len(sources) > 100
    assert {str(path): found for path in sources if (found := unnamed_calls(path))} == {}


LEFT_TO_THE_COMPILER = """
a, b = Signal(), Signal()
self.a, self.b = Signal(), Signal(8)
a = b = Signal()
a = self.a = Signal()
a = [Signal() for _ in range(2)]
a = tuple(Signal(i) for i in range(2))
a = {'x': Signal()}
a = Signal() if n else None
a = f(Signal(8))
f(a := Signal())
self.a[0] = Signal()
a = Signal().as_signed()
write, read = memory.write_port(), memory.read_port(domain='comb')
b, c = Signal.like(a), a
a = [layout.create()]
a = [hdl.Signal()]
def f(a=Signal()): ...
return Signal()
"""
GIVEN_BY_THE_SOURCE = """
a = Signal(8)
a: Signal = Signal(8)
self.a = Signal()
self.a = a = Signal()
m.submodules.table = table = Memory(shape=8, depth=2, init=[])
a = [Signal(name=f'a{i}') for i in range(2)]
a = layout.create(path=('a',))
"""


def unnamed(line: str, folder: Path) -> list:
    """The unnamed calls of a source of one line."""
    path = folder / "unit.py"
    path.write_text(line)
    return unnamed_calls(path)


@pytest.mark.parametrize("line", LEFT_TO_THE_COMPILER.strip().splitlines())
def test_forms_that_leave_the_name_to_the_compiler_are_found(line: str, tmp_path: Path) -> None:
    assert unnamed(line, tmp_path) != []


@pytest.mark.parametrize("line", GIVEN_BY_THE_SOURCE.strip().splitlines())
def test_forms_that_give_the_name_are_not(line: str, tmp_path: Path) -> None:
    assert unnamed(line, tmp_path) == []


def test_what_really_runs_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an alias nor a helper hides a call from `taken_names`."""
    path = tmp_path / "unit.py"
    path.write_text(
        "from amaranth.hdl import Signal as S\n"
        "from amaranth.lib.wiring import Out, Signature\n"
        "def helper():\n"
        "    return S(src_loc_at=1)\n"
        "good = S(3)\n"
        "chosen = helper()\n"
        "bad, worse = S(), Signature({'x': Out(1)}).create()\n"
        "given = [S(name='given')]\n"
    )
    with taken_names(monkeypatch) as seen:
        exec(compile(path.read_text(), str(path), "exec"), {})
    found = {place.removeprefix(f"{path}:").split(":")[0]: ok for place, ok in seen.items()}
    assert found == {"5": True, "6": True, "7": False}
