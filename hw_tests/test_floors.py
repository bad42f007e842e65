# SPDX-License-Identifier: Apache-2.0
"""No import runs back up the house: what each folder may import of the others and of third
parties.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    *("meadow", "rtl_gen", "firmware", "cocotb_bench", "cosim", "boards", "workbench", "examples"),
)
ALL = FLOORS[:-1]
TOOLS = (
    *("typer", "click", "rich", "tokenizers", "safetensors", "torch", "transformers", "pyosys"),
    *("matplotlib", "gguf", "systemrdl", "peakrdl_cheader", "peakrdl_html", "pywellen"),
)

# Folder -> (project packages, third-party packages). A package allows itself and what lies in it.
RULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "meadow/spec": (("meadow.spec",), ()),
    "meadow/atomic_write.py": ((), ()),
    "meadow/model": (("meadow.spec", "meadow.model"), ("numpy",)),
    "meadow/golden": (("meadow.spec", "meadow.model", "meadow.golden"), ("numpy",)),
    "meadow/compiler": (
        ("meadow.spec", "meadow.model", "meadow.golden", "meadow.compiler", "meadow.atomic_write"),
        ("numpy", "gguf"),
    ),
    "rtl_gen": (("meadow.spec", "rtl_gen"), ("amaranth",)),
    "firmware": (
        ("meadow.spec", "meadow.model", "meadow.golden", "firmware"),
        ("numpy", "tokenizers", "jinja2"),
    ),
    # What a board has installed.
    "firmware/board": (("meadow.spec", "meadow.model", "firmware"), ("numpy",)),
    # What a cocotb bench imports inside of the simulator: nothing there makes hardware.
    "cocotb_bench": (
        ("meadow", "firmware", "cocotb_bench"),
        ("numpy", "cocotb", "cocotbext"),
    ),
    "cosim": (("meadow", "rtl_gen", "firmware", "cosim"), ("numpy",)),
    "boards": (("meadow.spec", "rtl_gen", "boards"), ("amaranth", "amaranth_boards", "pyosys")),
    "workbench": (ALL, ("numpy", "amaranth", *TOOLS)),
    "examples": (ALL, ("cocotb", "cocotbext")),
    "meadow_start.py": (("workbench.cli",), ()),
}

# Rooms of rtl_gen from the ground up: a room imports of those before it, and of itself.
ROOMS = (
    *("interfaces", "blocks", "memory", "axi", "decoder", "dma", "softmax", "lane", "array"),
    *("writer", "norm", "baseline", "vector", "control", "units", "top", "export", "single"),
)


def imports(path: Path) -> set[str]:
    """Absolute modules that a file imports anywhere, `from a import b` as `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not used in this project"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def violations(root: Path) -> list[str]:
    """Imports below `root` that RULES do not allow, as "file imports module"."""
    found = []
    for folder, (packages, libraries) in RULES.items():
        for path in _sources(root / folder):
            for module in sorted(imports(path)):
                first = module.split(".")[0]
                if first in FLOORS or first == "hw_tests":
                    good = any(module == p or module.startswith(p + ".") for p in packages)
                else:
                    good = first in sys.stdlib_module_names or first in libraries
                if not good:
                    found.append(f"{path.relative_to(root)} imports {module}")
    return found


def room_violations(root: Path) -> list[str]:
    """Imports between rooms of rtl_gen below `root` that run up, as "file imports module"."""
    found = []
    for path in sorted((root / "rtl_gen").rglob("*.py")):
        room = path.relative_to(root / "rtl_gen").with_suffix("").parts[0]
        if room == "__init__":
            continue
        assert room in ROOMS, f"{path}: ROOMS does not say where {room} stands"
        for module in sorted(imports(path)):
            package, _, rest = module.partition(".")
            if package == "rtl_gen" and rest.split(".")[0] not in ROOMS[: ROOMS.index(room) + 1]:
                found.append(f"{path.relative_to(root)} imports {module}")
    return found


def test_no_import_runs_back_up() -> None:
    assert violations(ROOT) == []
    assert room_violations(ROOT) == []


def test_every_room_has_sources() -> None:
    for room in ROOMS:
        base = ROOT / "rtl_gen" / room
        assert list(base.glob("*.py")) or base.with_suffix(".py").is_file(), room


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("rtl_gen/interfaces/a.py", "rtl_gen.blocks.delay"),
        ("rtl_gen/lane/a.py", "rtl_gen.array.drain"),
        ("rtl_gen/dma/a.py", "rtl_gen.norm"),
        ("rtl_gen/control/a.py", "rtl_gen.top"),
    ],
)
def test_a_room_that_imports_upwards_is_found(tmp_path: Path, path: str, module: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"from {module} import b\n", "utf-8")
    assert room_violations(tmp_path) == [f"{path} imports {module}.b"]


def test_every_folder_of_sources_has_a_rule() -> None:
    covered = {folder.split("/")[0] for folder in RULES}
    for path in (ROOT / "meadow").rglob("*.py"):
        place = path.relative_to(ROOT).as_posix()
        assert place == "meadow/__init__.py" or place.startswith(tuple(RULES)), (
            f"{place} has no rule"
        )
    assert covered == {*FLOORS, "meadow_start.py"}
    for folder in RULES:
        assert _sources(ROOT / folder), f"{folder} has no sources"


@pytest.mark.parametrize(
    ("path", "line", "named"),
    [
        ("meadow/spec/a.py", "import numpy", "numpy"),
        ("meadow/spec/a.py", "from meadow.golden import machine", "meadow.golden.machine"),
        ("meadow/golden/a.py", "def f():\n    import rtl_gen.top", "rtl_gen.top"),
        ("meadow/compiler/a.py", "from rtl_gen import top", "rtl_gen.top"),
        (
            "rtl_gen/a.py",
            "from meadow.golden.machine.machine import Machine",
            "meadow.golden.machine.machine.Machine",
        ),
        ("rtl_gen/a.py", "import numpy", "numpy"),
        (
            "firmware/a.py",
            "from meadow.compiler import program",
            "meadow.compiler.program",
        ),
        ("cosim/a.py", "import workbench.cli", "workbench.cli"),
        ("boards/zcu102/a.py", "import cosim", "cosim"),
        ("workbench/a.py", "import hw_tests.tool", "hw_tests.tool"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, path: str, line: str, named: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"from __future__ import annotations\nimport json\n{line}\n", "utf-8")
    assert violations(tmp_path) == [f"{path} imports {named}"]
