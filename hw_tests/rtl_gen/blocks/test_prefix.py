# SPDX-License-Identifier: Apache-2.0
"""The names of all modules begin with a prefix, and two cores of two prefixes are one design."""

from __future__ import annotations

import re

import pytest

from cosim.generate import generated_verilog
from cosim.verilator_build import lint
from meadow.spec.config import named_config
from rtl_gen.blocks.prefix import KEYWORDS, PREFIX, check_prefix, top_name, with_prefix


def _modules(text: str) -> list[str]:
    return re.findall(r"^module \\?(\S+?) ?\(", text, re.M)


def test_nothing_but_the_names_of_modules_changes() -> None:
    text = generated_verilog(named_config("tiny"))
    assert with_prefix(text, PREFIX) == text
    other = with_prefix(text, "own_core")
    names = _modules(text)
    assert len(names) > 150 and all(name.startswith(f"{PREFIX}_") for name in names)
    renamed = [name.replace(f"{PREFIX}_", "own_core_", 1) for name in names]
    assert _modules(other) == renamed and top_name("own_core") in renamed
    # What is left is local to a module, a macro or a comment.
    left = set(re.findall(rf"\b{PREFIX}_\w+", other))
    assert left == {"meadow_settled", "meadow_index"}
    assert other.replace("own_core_", f"{PREFIX}_") == text


@pytest.mark.sim
def test_two_cores_are_one_design_without_a_lint_error() -> None:
    tiny = generated_verilog(named_config("tiny"))
    nano = generated_verilog(named_config("nano"))
    both = "\n".join((with_prefix(tiny, "left"), with_prefix(nano, "right")))
    ports = {
        side: re.search(rf"^module {side}_top\(([^)]*)\);", both, re.M)
        for side in ("left", "right")
    }
    wires, instances = [], []
    for side, found in ports.items():
        assert found is not None
        names = [name.strip() for name in found[1].split(",")]
        body = both[found.end() :].split("endmodule", 1)[0]
        for name in names:
            declared = re.search(rf"^  (?:input|output) (\[\d+:0\] )?{name};", body, re.M)
            assert declared is not None
            wires.append(f"  wire {declared[1] or ''}{side}_{name};")
        joined = ", ".join(f".{name}({side}_{name})" for name in names)
        instances.append(f"  {side}_top {side} ({joined});")
    pair = "\n".join(("module pair;", *wires, *instances, "endmodule", ""))
    assert len(set(_modules(both))) == len(_modules(both))
    assert [line for line in lint(both + pair, top="pair") if "rror" in line] == []


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("", "name must be a Verilog identifier, letters, digits and _ behind .*, not ''"),
        ("2cores", "name must be a Verilog identifier, .*, not '2cores'"),
        ("a-b", "name must be a Verilog identifier, .*, not 'a-b'"),
        ("a$b", r"name must be a Verilog identifier, .*, not 'a\$b'"),
        ("a\n", r"name must be a Verilog identifier, .*, not 'a\\n'"),
        ("kürzer", "name must be a Verilog identifier, .*, not 'kürzer'"),
        ("module", "name must be no keyword of Verilog or SystemVerilog, not 'module'"),
        ("logic", "name must be no keyword of Verilog or SystemVerilog, not 'logic'"),
        ("x" * 65, "name must have at most 64 characters, not 65"),
    ],
)
def test_what_is_no_name_is_refused(prefix: str, message: str) -> None:
    for refuse in (check_prefix, lambda text: with_prefix("module meadow_top(", text)):
        with pytest.raises(ValueError, match=f"^{message}$"):
            refuse(prefix)


def test_names_that_are_taken() -> None:
    for prefix in ("meadow", "_a1", "Module", "x" * 64):
        check_prefix(prefix)
    assert len(KEYWORDS) > 240 and {"reg", "always_ff", "unique0", "pulsestyle_onevent"} < KEYWORDS
