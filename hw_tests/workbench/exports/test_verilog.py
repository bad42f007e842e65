# SPDX-License-Identifier: Apache-2.0
"""Verilog tools read `meadow.v` as Verilog-2005 and warn of nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from hw_tests.marks import long
from hw_tests.workbench.exports.cores import DRAWN, PREFIX, TOP, drawn_core, named_core
from hw_tests.workbench.exports.verilog_tools import TOOLS, complaints
from rtl_gen.blocks.prefix import with_prefix
from workbench.exports.core import Core
from workbench.exports.stub import verilog_stub
from workbench.exports.verilog import STUB_WAIVERS, VERILOG_WAIVERS, verilog_file, without_warnings

_OTHERS = [long(name) for name in (DRAWN, "nano", "small", "kv260", "zcu102", "zcu102-paper")]


def _core(configuration: str) -> Core:
    return drawn_core() if configuration == DRAWN else named_core(configuration)


def _written(core: Core) -> str:
    return verilog_file(core, with_prefix(generated_verilog(core.config), PREFIX))


@pytest.mark.parametrize("configuration", ["tiny", *_OTHERS])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_has_nothing_to_say(tool: str, configuration: str, tmp_path: Path) -> None:
    assert complaints(tool, _written(_core(configuration)), TOP, tmp_path) == []


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_has_nothing_to_say_of_the_black_box(tool: str, tmp_path: Path) -> None:
    assert complaints(tool, verilog_stub(named_core("nano")), TOP, tmp_path) == []


_WIDTHS = f"""
module part(input [3:0] a, output [3:0] b);
  assign b = a;
endmodule
module {TOP}(input [7:0] a, output [3:0] b);
  part inside (.a(a), .b(b));
endmodule
"""
_RANGE = f"module {TOP}(input [3:0] a, output b);\n  assign b = a[7];\nendmodule\n"
_LATER_WORD = f"module {TOP}(input a, output reg b);\n  always_comb b = a;\nendmodule\n"


@pytest.mark.parametrize("text", [_RANGE, _LATER_WORD], ids=["range", "later word"])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_warns_of_what_there_is_not_and_of_words_of_later_languages(
    tool: str, text: str, tmp_path: Path
) -> None:
    assert complaints(tool, text, TOP, tmp_path) != []


def test_what_is_waived_ends_with_the_file(tmp_path: Path) -> None:
    quiet = without_warnings("module quiet;\nendmodule\n", VERILOG_WAIVERS)
    said = complaints("verilator", quiet + _WIDTHS, TOP, tmp_path)
    assert any("WIDTHTRUNC" in line for line in said)


def test_every_waiver_is_needed_and_has_its_reason(tmp_path: Path) -> None:
    """Without the waivers Verilator says these warnings of `tiny` and of the black box, and no
    others.
    """
    core = named_core("tiny")
    for text, waivers in (
        (_written(core), VERILOG_WAIVERS),
        (verilog_stub(core), STUB_WAIVERS),
    ):
        folder = tmp_path / str(len(waivers))
        folder.mkdir()
        for name, reason in waivers.items():
            assert f"// {reason}:\n// verilator lint_off {name}\n" in text
        bare = re.sub(r"^// verilator .*\n", "", text, flags=re.M)
        said = complaints("verilator", bare, TOP, folder)
        kinds = {match[1] for match in map(re.compile(r"%Warning-(\w+):").match, said) if match}
        # The names of old are those of several kinds of today.
        assert {re.sub("^(WIDTH|UNUSED).*", r"\1", kind) for kind in kinds} == set(waivers)


def test_the_same_configuration_is_the_same_text() -> None:
    core = named_core("tiny")
    text = _written(core)
    assert text == _written(core) and core.contract in text.splitlines()[1]
    generated = with_prefix(generated_verilog(core.config), PREFIX)
    assert text.endswith(f"\n{generated}// verilator lint_restore\n")
