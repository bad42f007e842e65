# SPDX-License-Identifier: Apache-2.0
"""Which sources a module's results can depend on."""

from __future__ import annotations

from pathlib import Path

from workbench.models.imported_sources import imported_sources

ROOT = Path(__file__).parents[3]


def test_imports_are_followed_in_turn(tmp_path: Path) -> None:
    files = {
        "a/__init__.py": "",
        "a/one.py": "import json\nfrom a import two\n",
        "a/two.py": "def f():\n    import b.three as three\n",
        "b/__init__.py": "from b.four import x\n",
        "b/three.py": "import a.one\n",
        "b/four.py": "x = 1\n",
        "b/alone.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = imported_sources("a.one", tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in found} == set(files) - {"b/alone.py"}


def test_a_compiled_model_depends_on_the_compiler_and_not_on_the_simulator() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in imported_sources("workbench.models.compile_model", ROOT)
    }
    assert {
        "meadow/compiler/quantise/quantise.py",
        "meadow/golden/tiers/float_tier.py",
        "meadow/spec/config.py",
        "firmware/tokenizer.py",
        "workbench/demo/words.py",
        "workbench/models/compile_model.py",
    } <= found
    assert not [name for name in found if name.startswith(("cosim/", "rtl_gen/", "hw_tests/"))]
    assert "meadow/golden/machine/machine.py" not in found
