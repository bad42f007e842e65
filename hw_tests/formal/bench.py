# SPDX-License-Identifier: Apache-2.0
"""A component with free inputs, and what is assumed and checked about it."""

from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import (
    Assert,
    Assume,
    ClockDomain,
    Const,
    Cover,
    Elaboratable,
    Fragment,
    Module,
    ShapeLike,
    Signal,
    Value,
    ValueLike,
)
from amaranth.lib.wiring import In

__all__ = ["Bench", "Probe"]


class Probe:
    """Signals that an elaborated component drives, by submodule and name:
    `probe["read.splitter.remaining"]`.
    """

    def __init__(self, fragment: Fragment) -> None:
        self._signals: dict[str, list[Signal]] = {}
        self._collect(fragment, "")

    def _collect(self, fragment: Fragment, prefix: str) -> None:
        for statements in fragment.statements.values():
            for signal in statements._lhs_signals():
                found = self._signals.setdefault(prefix + signal.name, [])
                if not any(signal is other for other in found):
                    found.append(signal)
        for part, name, _ in fragment.subfragments:
            self._collect(part, f"{prefix}{name}.")

    def every(self, name: str) -> list[Signal]:
        """All signals of this name in the order of their creation."""
        return sorted(self._signals.get(name, []), key=lambda signal: signal.duid)

    def __getitem__(self, name: str) -> Signal:
        """KeyError if there is not exactly one such signal."""
        found = self._signals.get(name, [])
        if len(found) != 1:
            folder = name.rpartition(".")[0]
            near = sorted(key for key in self._signals if key.rpartition(".")[0] == folder)
            raise KeyError(f"{len(found)} signals {name!r}; there are {near}")
        return found[0]


class Bench(Elaboratable):
    """One component under proof, in a clock domain without reset that begins in the reset state.

    Every input of the component is free in every cycle unless `assume` says otherwise; `free` and
    `constant` make more such inputs. `m` is the module for the bench's own logic.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.m = Module()
        # On its own, so that an m.If of the bench around a `past` or a `check` does not apply to
        # it.
        self.m.submodules.rules = self._rules = Module()
        clock = ClockDomain("sync", reset_less=True)
        self.m.domains += clock
        self.ports: list[Value] = [clock.clk]
        self.started = Signal()  # 0 in the first cycle only
        self.m.d.sync += self.started.eq(1)

    def elaborate(self, platform: object) -> Module:
        return self.m

    @cache  # noqa: B019
    def rtlil(self) -> str:
        """The bench as RTLIL; a Module is converted once only."""
        return rtlil.convert(self, name="top", ports=self.ports)

    def add(self, component: Any, name: str = "dut") -> Probe:
        """Adds a component with free inputs."""
        fragment = Fragment.get(component, None)
        self.m.submodules[name] = fragment
        for _, member, value in component.signature.flatten(component):
            port = Value.cast(value)
            if member.flow == In and not isinstance(port, Const):  # `ready` of some streams
                self.ports.append(port)
        return Probe(fragment)

    def free(self, name: str, shape: ShapeLike = 1) -> Any:
        """Any value in any cycle."""
        signal = Signal(shape, name=name)
        self.ports.append(Value.cast(signal))
        return signal

    def constant(self, name: str, shape: ShapeLike = 1) -> Any:
        """Any value, the same in all cycles."""
        signal = self.free(name, shape)
        self.assume_stable(signal)
        return signal

    def past(self, value: ValueLike, init: int = 0) -> Signal:
        """The value one cycle ago; `init` in the first cycle."""
        value = Value.cast(value)
        signal = Signal(value.shape(), name="past", init=init)
        self._rules.d.sync += signal.eq(value)
        return signal

    def assume(self, condition: ValueLike) -> None:
        self._rules.d.comb += Assume(condition, src_loc_at=1)

    def assume_stable(self, *values: ValueLike) -> None:
        """Inputs that never change."""
        for value in values:
            value = Value.cast(value)
            self._rules.d.comb += Assume(~self.started | (value == self.past(value)), src_loc_at=1)

    def check(self, name: str, condition: ValueLike) -> None:
        """`condition` holds in every cycle."""
        holds = Signal(name=f"check_{name}")
        self._rules.d.comb += [holds.eq(Value.cast(condition).bool()), Assert(holds, src_loc_at=1)]

    def cover(self, name: str, condition: ValueLike) -> None:
        """`condition` holds in some cycle: the assumptions leave something to prove."""
        reached = Signal(name=f"cover_{name}")
        self._rules.d.comb += [
            reached.eq(Value.cast(condition).bool()),
            Cover(reached, src_loc_at=1),
        ]
