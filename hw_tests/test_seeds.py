# SPDX-License-Identifier: Apache-2.0
"""`--seed`: nothing is drawn past it, it changes what is drawn, and a failure shows it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw_tests.marks import slow
from hw_tests.seeds import VARIABLE, recorded, salted

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "hw_tests"

GENERATORS = ("default_rng", "Random", "RandomState", "SystemRandom")
"""Their first argument is the seed."""
SEEDED = ("synthetic_model", "generate_stories")
"""They draw, and have a keyword `seed`."""
STALLED = ("DramSettings", "copier", "bench", "opened")
"""They draw where they are told to stall; those of the tests salt the seed that is left out."""
CHOSEN = ("salted", "recorded")
RECORDERS = ("parity/record_opt.py",)
"""Scripts that write what tests read: they run by themselves, and what they draw is kept in the
tree.
"""


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _chosen(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and _name(node.func) in CHOSEN


def _pairs(call: ast.Call) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Neighbours in the arguments of a call and in the tuples and lists among them."""
    for group in (call.args, *(a.elts for a in call.args if isinstance(a, ast.Tuple | ast.List))):
        yield from zip(group, group[1:], strict=False)


def _fault(call: ast.Call) -> str | None:
    """What a call draws past `--seed`, or None."""
    name = _name(call.func)
    seeds = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in GENERATORS and not (call.args and _chosen(call.args[0])):
        return f"{name}(…) needs salted(…) or recorded(…) as its seed"
    if name in SEEDED and not _chosen(seeds.get("seed")):
        return f"{name}(…) needs seed=salted(…)"
    if name in STALLED and ("seed" in seeds or (name == "DramSettings" and "stalls" in seeds)):
        return None if _chosen(seeds.get("seed")) else f"{name}(…) needs seed=salted(…)"
    for option, value in _pairs(call):
        fixed = isinstance(value, ast.Constant) and isinstance(value.value, int)
        if isinstance(option, ast.Constant) and option.value == "--seed" and fixed:
            return '"--seed" needs salted(…) behind it'
    return None


def unsalted(folder: Path) -> list[str]:
    """Draws below `folder` that `--seed` does not reach, as "file:line: what is missing"."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"), str(path))
        modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        if path.relative_to(folder).as_posix() in RECORDERS or "cocotb" in modules:
            continue  # the latter run inside the simulator, seeded by hw_tests/cocotb_runner.py
        for node in ast.walk(tree):
            fault = _fault(node) if isinstance(node, ast.Call) else None
            if fault is not None:
                found.append(f"{path.relative_to(folder)}:{node.lineno}: {fault}")  # pyright: ignore
    return found


def test_nothing_is_drawn_past_the_seed() -> None:
    assert unsalted(FOLDER) == []


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("numpy.random.default_rng(salted(3))", True),
        ("numpy.random.default_rng(3)", False),
        ("numpy.random.default_rng(seed)", False),
        ("numpy.random.default_rng()", False),
        ("Random(recorded(3))", True),
        ("random.Random(f'{codec} 3')", False),
        ("synthetic_model(description, seed=salted(1))", True),
        ("synthetic_model(description)", False),
        ("DramSettings(stalls=40)", False),
        ("DramSettings(stalls=40, seed=salted(1))", True),
        ("DramSettings(latency_cycles=40)", True),
        ("copier(stalls=40, seed=2)", False),
        ('run("--count", 2, "--seed", 3)', False),
        ('run("--count", 2, "--seed", salted(3))', True),
        ('runner.invoke(app, ["soak", "--seed", 3])', False),
    ],
)
def test_a_planted_draw_is_named_by_file_and_line(tmp_path: Path, line: str, good: bool) -> None:
    (tmp_path / "test_a.py").write_text(f"import random\n\n{line}\n", "utf-8")
    found = unsalted(tmp_path)
    assert found == [] if good else len(found) == 1 and found[0].startswith("test_a.py:3: ")


def test_without_a_seed_each_draw_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("0", None):
        monkeypatch.setenv(VARIABLE, value) if value else monkeypatch.delenv(VARIABLE)
        assert (salted(3), salted("a"), recorded(3)) == (3, "a", 3)


def test_a_seed_changes_every_draw_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = set()
    for chosen in ("1", "2"):
        monkeypatch.setenv(VARIABLE, chosen)
        drawn |= {salted(seed) for seed in range(100)}
        assert salted(3) == salted(3) and recorded(3) == 3
        assert isinstance(salted("a"), str) and salted("a") != "a"
    assert len(drawn) == 200 and all(0 <= seed < 1 << 31 for seed in drawn)


TEST = """
import random
from hypothesis import given, strategies
from hw_tests.seeds import salted

DRAWN = random.Random(salted(3)).getrandbits(32)

def test_a():
    print("module", DRAWN, "test", random.Random(salted(4)).getrandbits(32))
    assert False

@given(strategies.integers(0, 1 << 60))
def test_b(number):
    print("hypothesis", number)
    assert False
"""


def outcome(folder: Path, *options: str) -> str:
    """What pytest says of TEST."""
    (folder / "test_drawn.py").write_text(TEST, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "hw_tests.conftest", "-c", os.devnull]
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run(
        [*command, "--rootdir", str(folder), str(folder / "test_drawn.py"), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    ).stdout


@pytest.mark.parametrize("options", [("-q",), slow(()), slow(("-n", "1"))])
def test_a_failure_shows_how_to_repeat_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    said = outcome(tmp_path, "--seed", "12", *options)
    assert 'repeat with: pytest "test_drawn.py::test_a" --seed 12\n' in said
    assert "seed: 12\n" in said.split("short test summary")[0].split("repeat with")[-1]
    if "-q" not in options:
        assert "\nseed: 12\n" in said.split("FAILURES")[0]


@pytest.mark.slow
def test_the_same_seed_draws_the_same_and_another_something_else(tmp_path: Path) -> None:
    def drawn(*options: str) -> list[str]:
        lines = outcome(tmp_path, "-p", "no:cacheprovider", *options).split("\n")
        return [line for line in lines if line.startswith(("module", "hypothesis"))]

    first, again, other = (drawn("--seed", seed) for seed in ("5", "5", "6"))
    assert first == again and len(first) >= 2
    assert first[0] != other[0] != drawn()[0]
    assert first[1:] != other[1:]


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_wrong_seed_is_told(tmp_path: Path, value: str) -> None:
    (tmp_path / "test_drawn.py").write_text("")
    command = [sys.executable, "-m", "pytest", "-p", "hw_tests.conftest", f"--seed={value}"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 4
    assert f"--seed must be a whole number of at least 0, not {value!r}" in result.stderr
