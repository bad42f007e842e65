# SPDX-License-Identifier: Apache-2.0
"""No signal has zero bits, in no configuration: Verilog has no such thing, and tools read `wire
[-1:0]` as two bits.
"""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Fragment, Signal

from hw_tests.marks import slow
from hw_tests.rtl_gen.configurations import EDGE_CONFIGURATIONS
from rtl_gen.top import Accelerator


@pytest.mark.parametrize(
    "name", ["least", *(slow(name) for name in EDGE_CONFIGURATIONS if name != "least")]
)
def test_no_signal_has_zero_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    empty: list[str] = []
    original = Signal.__init__

    def made(self: Signal, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options | {"src_loc_at": options.get("src_loc_at", 0) + 1})
        if len(self) == 0:
            empty.append(f"{self.name} of {self.src_loc}")

    monkeypatch.setattr(Signal, "__init__", made)
    Fragment.get(Accelerator(config=EDGE_CONFIGURATIONS[name]), None)
    assert empty == []
