# SPDX-License-Identifier: Apache-2.0
"""After reset nothing that says something is unknown: for simulators of four states.

A stream's `valid` and `ready`, a response and the interrupt are never X, and no payload is while
its `valid` is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cocotb.handle import LogicArrayObject, LogicObject, PackedObject
from cocotb.triggers import FallingEdge

from cocotb_bench.device import RESET_CYCLES

__all__ = ["UnknownWatch", "axi_channels", "inner_streams"]

_DRIVEN = {"m_axi": ("ar", "aw", "w"), "s_axi": ("b", "r")}
"""Channels whose payload a design drives, by the beginning of its interface."""
_LIMIT = 20

Stream = tuple[str, Any, Any, list[Any]]
"""Name, valid, ready (None: there is none), payload."""


def axi_channels(dut: Any, ports: int) -> list[Stream]:
    """The channels of all interfaces; of those that the design receives there is no payload."""
    found = []
    for interface in ("s_axi", *(f"m_axi{port}" for port in range(ports))):
        for channel in ("aw", "w", "b", "ar", "r"):
            prefix = f"{interface}_{channel}"
            names = [name for name in _names(dut) if name.startswith(prefix)]
            if channel == "w":
                names = [n for n in names if not n.startswith(f"{interface}_aw")]
            ends = (f"{prefix}valid", f"{prefix}ready")
            payload = [getattr(dut, name) for name in names if name not in ends]
            if channel not in _DRIVEN[interface[:5]]:
                payload = []
            found.append((prefix, getattr(dut, ends[0]), getattr(dut, ends[1]), payload))
    return found


def _names(dut: Any) -> list[str]:
    return [child._name for child in dut]


def inner_streams(scope: Any) -> Iterator[Stream]:
    """The streams of a unit, which a simulator must show: all that Amaranth has named
    `<stream>__valid` in its module. `ready` may depend on the payload: it is looked at with that.
    """
    children = {child._name: child for child in scope}
    for name, valid in children.items():
        stem, _, end = name.partition("__valid")
        if name.endswith("__valid") and not end and isinstance(valid, LogicObject):
            others = (children.get(f"{stem}__{part}") for part in ("payload", "ready"))
            kinds = (LogicObject, LogicArrayObject, PackedObject)
            yield (
                f"{scope._name}.{stem}",
                valid,
                None,
                [other for other in others if isinstance(other, kinds)],
            )


class UnknownWatch:
    """Looks at streams and at `irq` in every cycle, in the middle of which all is settled.

    found: what was unknown, once each, as "name.payload at cycle".
    """

    def __init__(self, dut: Any, streams: list[Stream]) -> None:
        self.dut, self.streams = dut, streams
        self.found: dict[str, int] = {}

    async def run(self) -> None:
        """Start this while `rst` is held; what happens in the cycles of a reset does not count."""
        cycle, since_reset = 0, 0
        edge = FallingEdge(self.dut.clk)
        while len(self.found) < _LIMIT:
            await edge
            cycle += 1
            held = str(self.dut.rst.value) != "0"
            since_reset = 0 if held else since_reset + 1
            if since_reset > RESET_CYCLES // 2:
                self._look(cycle)

    def _look(self, cycle: int) -> None:
        if not self.dut.irq.value.is_resolvable:
            self.found.setdefault("irq", cycle)
        for name, valid, ready, payload in self.streams:
            value = valid.value
            if not value.is_resolvable:
                self.found.setdefault(f"{name}.valid", cycle)
            elif ready is not None and not ready.value.is_resolvable:
                self.found.setdefault(f"{name}.ready", cycle)
            elif int(value):
                for signal in payload:
                    if not signal.value.is_resolvable:
                        self.found.setdefault(f"{name}: {signal._name}", cycle)

    def check(self) -> None:
        """AssertionError that lists what was unknown."""
        listed = ", ".join(f"{name} (cycle {cycle})" for name, cycle in self.found.items())
        assert not self.found, f"unknown after reset: {listed}"
