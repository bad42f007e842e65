# SPDX-License-Identifier: Apache-2.0
"""Watchdog: notices that nothing moves any more."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """expired = `enable` has been 1 for `limit` cycles and longer without `progress`.

    Members
    -------
    limit: In(32), cycles, stable while enabled; 0: never.
    enable: In, it is watched.
    progress: In, something moves.
    expired: Out, level.

    Latency: expired rises `limit + latency` cycles after the last cycle of progress and falls in
        the cycle after the next.
    """

    latency = 1

    def __init__(self) -> None:
        super().__init__({"limit": In(32), "enable": In(1), "progress": In(1), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(32)
        with m.If(~self.enable | self.progress):
            m.d.sync += [left.eq(self.limit), self.expired.eq(0)]
        with m.Elif(left[1:].any()):
            m.d.sync += left.eq(left - 1)
        with m.Elif(left[0]):
            m.d.sync += self.expired.eq(1)
        return m
