# SPDX-License-Identifier: Apache-2.0
"""After reset nothing that says something is unknown: for simulators of four states.

A stream's `valid` and `ready`, a response and the interrupt are never X, and no payload is while
its `valid` is 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.handle import LogicArrayObject, LogicObject, PackedObject
from cocotb.triggers import FallingEdge

__all__ = ["FOUR_STATES", "UnknownWatch", "axi_channels", "inner_streams"]

FOUR_STATES = getattr(cocotb, "SIM_NAME", "").startswith("Icarus")
"""Whether the simulator knows of X; it is a hundred times slower than one that does not."""

_DRIVEN = {"m_axi": ("ar", "aw", "w"), "s_axi": ("b", "r")}
"""Channels whose payload a design drives, by the beginning of its interface."""

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
    """Looks at streams and at `irq` in every cycle, in the middle of which all is settled."""

    def __init__(self, dut: Any, streams: list[Stream]) -> None:
        self.dut, self.streams = dut, streams

    async def run(self) -> None:
        """To be started before the first reset: looks from the first cycle after it on, and through
        later resets too. AssertionError, which ends the test, names what is unknown.
        """
        edge = FallingEdge(self.dut.clk)
        while str(self.dut.rst.value) != "0":
            await edge
        cycle = 0
        while True:
            found = self._found()
            assert not found, f"unknown in cycle {cycle} after reset: {', '.join(found)}"
            await edge
            cycle += 1

    def _found(self) -> list[str]:
        found = [] if self.dut.irq.value.is_resolvable else ["irq"]
        for name, valid, ready, payload in self.streams:
            value = valid.value
            if not value.is_resolvable:
                found.append(f"{name}: valid")
            elif ready is not None and not ready.value.is_resolvable:
                found.append(f"{name}: ready")
            elif int(value):
                found += [f"{name}: {s._name}" for s in payload if not s.value.is_resolvable]
        return found
