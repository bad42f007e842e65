# SPDX-License-Identifier: Apache-2.0
"""Few registers have a reset, and none of the nets that reset them has many loads."""

from __future__ import annotations

from collections import Counter

import pytest
from amaranth.hdl import Fragment, Module, Signal

from meadow.spec.config import AcceleratorConfig, named_config
from rtl_gen.lane.lane import Lane
from rtl_gen.top import Accelerator

_MOST_LOADS = 500
"""Bits that one register resets."""
_MOST_OF_REGISTERS = 2000
"""Those of the register file, all of which the host reads."""


def _with_reset(fragment: Fragment) -> int:
    """Bits of registers with a reset in a fragment and all below it."""
    own = sum(
        len(signal)
        for domain, statements in fragment.statements.items()
        if domain != "comb"
        for signal in statements._lhs_signals()
        if not signal.reset_less
    )
    return own + sum(_with_reset(part) for part, _, _ in fragment.subfragments)


def _loads(config: AcceleratorConfig) -> Counter[str]:
    """Bits that each register of a reset resets, by block; what stands between blocks has none."""
    chip = Fragment.get(Accelerator(config=config, black_box=True), None)
    loads = Counter({str(name): _with_reset(part) for part, name, _ in chip.subfragments})
    assert _with_reset(chip) == loads.total()
    lane = Lane(config=config)
    loads |= {f"lane{index}": 0 for index in range(config.lanes)}
    bits = _with_reset(Fragment.get(lane, None))
    loads.update({f"lane{index}": bits for index in range(config.lanes)})
    return loads


@pytest.mark.parametrize(
    ("config", "most"), [("zcu102", 12_000), ("zcu102-paper", 12_000), ("kv260", 12_000)]
)
def test_registers_with_a_reset(config: str, most: int) -> None:
    loads = _loads(named_config(config))
    assert 0 < loads.total() <= most, loads
    assert loads.pop("registers") <= _MOST_OF_REGISTERS
    assert max(loads.values()) <= _MOST_LOADS, loads.most_common(3)


def test_a_register_of_payload_is_not_counted() -> None:
    m = Module()
    m.d.sync += [Signal(3).eq(0), Signal(5, reset_less=True).eq(0)]
    assert _with_reset(Fragment.get(m, None)) == 3
