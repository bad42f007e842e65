# SPDX-License-Identifier: Apache-2.0
"""The ZCU102 platform yields a complete Vivado build plan, without Vivado."""

from __future__ import annotations

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import io

from boards.zcu102.platform import ZCU102Platform


class _Blink(Elaboratable):
    def elaborate(self, platform: ZCU102Platform) -> Module:
        m = Module()
        count = Signal(27)
        m.d.sync += count.eq(count + 1)
        led = platform.request("led", 0, dir="-")
        m.submodules.led = buffer = io.Buffer("o", led)
        m.d.comb += buffer.o.eq(count[-1])
        return m


def test_build_plan_names_part_clock_and_pins() -> None:
    plan = ZCU102Platform().build(_Blink(), do_build=False)
    script = str(plan.files["top.tcl"])
    constraints = str(plan.files["top.xdc"])
    assert "xczu9eg-ffvb1156-2-e" in script
    for pin in ("G21", "F21", "AG14", "AM13"):
        assert pin in constraints
    assert "create_clock" in constraints


def test_no_pin_is_used_twice() -> None:
    platform = ZCU102Platform()
    used: list[str] = []
    for resource in platform.resources.values():
        for part in resource.ios:
            stack = [part]
            while stack:
                item = stack.pop()
                if hasattr(item, "p"):
                    used += item.p.names + item.n.names
                elif hasattr(item, "names"):
                    used += item.names
                elif hasattr(item, "ios"):
                    stack += item.ios
    used += [
        pin for connector in platform.connectors.values() for pin in connector.mapping.values()
    ]
    assert len(used) > 40
    assert len(used) == len(set(used))
