# SPDX-License-Identifier: Apache-2.0
"""Each block's reset comes a cycle after its causes, from a register that synthesis keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boards.timing.resets import reset_loads
from hw_tests.boards.synthesis.synthesised import synthesised
from hw_tests.streams import simulate
from rtl_gen.blocks.reset import BlockResets
from rtl_gen.interfaces.members import members

_ALWAYS, _UNITS = ("registers", "port0"), ("array", "vector", "storer")


def _resets() -> BlockResets:
    return BlockResets(always=_ALWAYS, units=_UNITS)


def test_units_have_two_causes_and_everything_begins_in_reset() -> None:
    dut = _resets()
    everything = set(_ALWAYS + _UNITS)

    async def bench(ctx: Any) -> None:
        def held() -> set[str]:
            return {name for name, output in members(dut.reset).items() if ctx.get(output)}

        assert held() == everything
        causes = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0)]
        for pin, unit in causes:
            ctx.set(dut.pin, pin)
            ctx.set(dut.unit_reset, unit)
            await ctx.tick().repeat(dut.LATENCY)
            assert held() == (everything if pin else set(_UNITS) if unit else set())

    simulate(dut, bench)


@pytest.mark.slow
def test_synthesis_keeps_a_register_for_each_block(tmp_path: Path) -> None:
    netlist = synthesised(_resets(), tmp_path)
    registers = [cell for cell in netlist.cells if cell.kind.startswith("FD")]
    assert len(registers) == len(_ALWAYS + _UNITS)
    loads = reset_loads(netlist)
    # Whatever leaves the component is not loaded in it.
    assert [loads[f"reset__{name}"] for name in _ALWAYS + _UNITS] == [0] * len(registers), loads
