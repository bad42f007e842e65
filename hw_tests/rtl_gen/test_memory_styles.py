# SPDX-License-Identifier: Apache-2.0
"""Every memory of the Verilog says what it is made of, so that no synthesiser has to guess."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from cosim.generate import generated_verilog
from hw_tests.marks import long, slow
from meadow.spec.config import named_config

_MEMORY = re.compile(
    r"^ *(?P<style>\(\*[^\n]*\*\)\s*)?reg (?:\[[^]]+\] )?(?P<name>\\\S+|\w+) +\[[^]]+\];", re.M
)
_CASE = re.compile(r"^ *casez? \([^\n]*\)\n(.*?)^ *endcase$", re.M | re.S)
_CONSTANT_ITEM = re.compile(r"^ *\d+'h[0-9a-f?]+:\s*[^\n]* = (\d+)'[hd][0-9a-f]+;$", re.M)
_ROM_ENTRIES = 32


def _unstyled(text: str) -> Iterator[str]:
    """Memories and tables written as `case` that do not say their style."""
    for memory in _MEMORY.finditer(text):
        if not re.search(
            r'\b(?:ram|rom)_style = "(?:block|distributed|ultra)"', memory["style"] or ""
        ):
            yield memory["name"].strip()
    for case in _CASE.finditer(text):
        widths = [int(width) for width in _CONSTANT_ITEM.findall(case[1])]
        if len(widths) >= _ROM_ENTRIES and max(widths) > 1:
            yield f"case of {len(widths)} constants"


@pytest.mark.parametrize("config", ["tiny", slow("small"), long("zcu102")])
def test_every_memory_says_its_style(config: str) -> None:
    text = generated_verilog(named_config(config))
    assert len(_MEMORY.findall(text)) > 80
    assert sorted(set(_unstyled(text))) == []


def test_a_memory_and_a_table_without_style_are_found() -> None:
    table = "".join(
        f"      8'h{number:02x}:\n          y = 17'h{number:05x};\n" for number in range(64)
    )
    text = f"""
  reg [7:0] one [15:0];
  (* ram_style = "distributed" *)
  reg [7:0] two [15:0];
  reg three [0:7];
  reg [7:0] four;
  (* keep = "true" *)
  reg [3:0] \\five$1 [3:0];
    case (x)
{table}    endcase
"""
    assert list(_unstyled(text)) == ["one", "three", "\\five$1", "case of 64 constants"]
