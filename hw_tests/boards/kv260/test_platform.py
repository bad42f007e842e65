# SPDX-License-Identifier: Apache-2.0
"""The KV260 platform yields a complete Vivado build plan, without Vivado; its pins are reached
through the connector of the module.
"""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal
from amaranth.lib import io

from boards.kv260.platform import FAN_PIN, KV260Platform


class _Fan(Elaboratable):
    """Clocked by the Pmod connector, since the card has no clock for the logic."""

    def elaborate(self, platform: KV260Platform) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        count = Signal(8)
        m.d.sync += count.eq(count + 1)
        m.submodules.fan = fan = io.Buffer("o", platform.request("fan", 0, dir="-"))
        m.submodules.bus = bus = io.Buffer("i", platform.request("i2c", 0, dir="-").scl)
        m.d.comb += [fan.o.eq(count[-1]), ClockSignal("sync").eq(bus.i)]
        return m


def test_build_plan_names_part_and_pins() -> None:
    plan = KV260Platform().build(_Fan(), do_build=False)
    constraints = str(plan.files["top.xdc"])
    assert "xck26-sfvc784-2LV-c" in str(plan.files["top.tcl"])
    assert all(f"LOC {pin}" in constraints for pin in (FAN_PIN, "G11"))
    assert "LVCMOS33" in constraints


def test_every_pin_of_the_module_is_one_of_the_package() -> None:
    platform = KV260Platform()
    module = platform.connectors["som240_1", 0].mapping
    pins = list(module.values())
    assert len(pins) == len(set(pins)) == 41
    pmod = platform.connectors["pmod", 0].mapping
    reached = [module[pin.removeprefix("som240_1_0:")] for pin in pmod.values()]
    assert reached == ["H12", "E10", "D10", "C11", "B10", "E12", "D11", "B11"]
    assert list(pmod) == ["1", "2", "3", "4", "7", "8", "9", "10"]
