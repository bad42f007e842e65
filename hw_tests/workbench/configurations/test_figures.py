# SPDX-License-Identifier: Apache-2.0
"""Figures that follow from a configuration are what its Verilog has."""

from __future__ import annotations

import math
import re

from cosim.generate import generated_verilog
from meadow.spec.config import CONFIGURATIONS
from workbench.configurations.figures import FIGURES, derived

_MODULE = re.compile(r"^module \\?(\S+?) ?[(;].*?^endmodule", re.M | re.S)
_MEMORY = re.compile(r"reg \[(\d+):0\] +(?:\\\S+|\w+) +\[(\d+):(\d+)\];")


def _bits(text: str, module: str) -> int:
    """Bits of all memories of the modules of this name."""
    return sum(
        (int(high) + 1) * (abs(int(first) - int(last)) + 1)
        for found in _MODULE.finditer(text)
        if re.fullmatch(module, found[1])
        for high, first, last in _MEMORY.findall(found[0])
    )


def test_memories_have_the_bits_that_are_told() -> None:
    config = CONFIGURATIONS["tiny"]
    text, figures = generated_verilog(config), derived(config)
    chip = r"meadow_top\.accelerator\."
    assert _bits(text, r"meadow_lane\.accumulator") == figures["accumulator_bits_per_lane"]
    for module, figure in (
        (r"array\.tiles", "tile_buffer_bytes"),
        (r"vector\.norm\.parameters(\$\d+)?", "norm_parameter_bytes"),
        (r"writer\.functions\.table", "activation_table_bytes"),
    ):
        assert _bits(text, chip + module) == 8 * figures[figure]


def test_rates_of_the_largest() -> None:
    figures = derived(CONFIGURATIONS["zcu102"])
    assert figures["macs_per_cycle"] == 64 * 16 * 2 == 2 * figures["lane_multipliers"]
    assert figures["activation_memory_bytes"] == 3 << 19
    assert figures["dram_bytes_per_cycle"] == 64 and figures["dictionary_bytes_per_table"] == 0
    assert figures["prefetch_bytes"] == 4 * 512 * 16
    assert math.prod((figures["tile_cycles"], 2)) == 64
    assert set(figures) == set(FIGURES)
