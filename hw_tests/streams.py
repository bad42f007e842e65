# SPDX-License-Identifier: Apache-2.0
"""Units in Amaranth's simulator: a runner, and what drives and watches their streams.

A bench is an `async` function of the simulator's context. Where each port has a bench of its own,
`Source.run` and `Sink.run` are those benches:

    source = Source(dut.i, words, Stalls(0.5, seed=2))
    sink = Sink(dut.o, Stalls(0.6, seed=3), count=len(words))
    simulate(dut, sink.run, background=[source.run])
    assert sink.received == words

A bench that drives all ports of a unit calls their `drive` at the beginning of each cycle and their
`settle` before `await ctx.tick()`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from random import Random
from typing import Any

from amaranth.sim import Simulator

from hw_tests.seeds import salted

__all__ = [
    "STALLS",
    "Bench",
    "Rig",
    "Sink",
    "Source",
    "Stalls",
    "get",
    "pipelined",
    "put",
    "simulate",
    "stable",
]

Bench = Callable[[Any], Coroutine[Any, Any, None]]
"""A test bench as `Simulator.add_testbench` takes it."""

STALLS = {"free": (0.0, 0.0), "producer": (0.5, 0.0), "consumer": (0.0, 0.6), "both": (0.4, 0.4)}
"""Shares of idle cycles of producer and consumer that every streaming test runs with."""

_PERIOD = 1e-8
"""Of the simulated clock, in seconds."""


class Rig:
    """A unit that is elaborated once and simulated as often as a test file likes, each time from
    its initial state. Elaboration takes as long as a thousand simulated cycles.

    dut : an elaboratable; one without a clock is simulated without one.
    benches, background : how many benches there are room for.
    """

    def __init__(self, dut: Any, *, benches: int = 1, background: int = 0) -> None:
        self._benches: list[Bench | None] = [None] * benches
        self._background: list[Bench | None] = [None] * background
        self._limit = 0
        self._used = False
        self._simulator = Simulator(dut)
        self._simulator.add_clock(_PERIOD, if_exists=True)
        self._simulator.add_testbench(self._expire, background=True)
        for places, endless in ((self._background, True), (self._benches, False)):
            for place in range(len(places)):
                self._simulator.add_testbench(_place(places, place), background=endless)

    def simulate(
        self, *benches: Bench, background: Iterable[Bench] = (), limit: int = 200_000
    ) -> None:
        """Simulate until all `benches` have returned; those of `background` run beside them and may
        be endless.

        AssertionError if `limit` cycles do not suffice. ValueError for more benches than there is
        room for.
        """
        self._limit = limit
        for places, given in ((self._benches, benches), (self._background, tuple(background))):
            if len(given) > len(places):
                raise ValueError(f"there is room for {len(places)} benches, not for {len(given)}")
            places[:] = [*given, *[None] * (len(places) - len(given))]
        if self._used:
            self._simulator.reset()
        self._used = True
        self._simulator.run()

    async def _expire(self, ctx: Any) -> None:
        await ctx.delay(self._limit * _PERIOD)
        raise AssertionError(f"not finished after {self._limit} cycles")


def _place(places: list[Bench | None], index: int) -> Bench:
    """The bench that stands at `index` when a run begins."""

    async def run(ctx: Any) -> None:
        bench = places[index]
        if bench is not None:
            await bench(ctx)

    return run


def simulate(
    dut: Any, *benches: Bench, background: Iterable[Bench] = (), limit: int = 200_000
) -> None:
    """Simulate `dut`, an elaboratable, once: see `Rig.simulate`."""
    others = tuple(background)
    rig = Rig(dut, benches=len(benches), background=len(others))
    rig.simulate(*benches, background=others, limit=limit)


async def put(ctx: Any, port: Any, payload: Any) -> None:
    """Offer `payload` to the stream `port` until it is taken."""
    ctx.set(port.payload, payload)
    ctx.set(port.valid, 1)
    ready = False
    # Not `until`: a bench that a failing test leaves in the middle of that cannot be closed.
    while not ready:
        _, _, ready = await ctx.tick().sample(port.ready)
    ctx.set(port.valid, 0)


async def get(ctx: Any, port: Any) -> Any:
    """The next payload of the stream `port`, which is ready until then."""
    if not port.signature.always_ready:
        ctx.set(port.ready, 1)
    valid, payload = False, None
    while not valid:
        _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
    if not port.signature.always_ready:
        ctx.set(port.ready, 0)
    return payload


class Stalls:
    """Says cycle by cycle whether a port rests: in `share` (0 .. 1) of the cycles, at random.

    seed : of the draws; or the generator of a bench that draws everything from one.
    """

    def __init__(self, share: float = 0.0, seed: int | Random = 0) -> None:
        self._share = share
        self._random = seed if isinstance(seed, Random) else Random(salted(seed))

    def __call__(self) -> bool:
        return self._random.random() < self._share


class Source:
    """Offers payloads to the stream `port` in order; one that is offered stays until it is taken.

    payloads : those to come, which a bench may append to.
    cycles : cycle in which each payload was taken; the first that is driven is 0.
    """

    def __init__(self, port: Any, payloads: Iterable[Any], stalls: Stalls | None = None) -> None:
        self.port, self.payloads = port, deque(payloads)
        self.cycles: list[int] = []
        self._stalls = stalls or Stalls()
        self._offered = False
        self._cycle = -1

    def drive(self, ctx: Any) -> None:
        """Drive the port for one cycle."""
        self._cycle += 1
        if self.payloads and not self._offered and not self._stalls():
            self._offered = True
            ctx.set(self.port.payload, self.payloads[0])
        ctx.set(self.port.valid, self._offered)

    def advance(self, ready: int) -> bool:
        """End the cycle, in which `ready` was seen; whether a payload was taken in it."""
        taken = self._offered and bool(ready)
        if taken:
            self.payloads.popleft()
            self.cycles.append(self._cycle)
            self._offered = False
        return taken

    def settle(self, ctx: Any) -> bool:
        """`advance` for a bench that drives all ports: sees `ready` as it stands."""
        return self.advance(ctx.get(self.port.ready))

    async def run(self, ctx: Any) -> None:
        """A bench that ends when all payloads have been taken."""
        while self.payloads:
            self.drive(ctx)
            _, _, ready = await ctx.tick().sample(self.port.ready)
            self.advance(ready)
        ctx.set(self.port.valid, 0)


class Sink:
    """Takes the payloads of the stream `port`, and asserts that one which is offered stays as it is
    until it is taken.

    count : payloads after which `run` ends; never if None.
    received : what was taken, in order.
    cycles : cycle in which each of them was taken; the first that is driven is 0.
    """

    def __init__(
        self, port: Any, stalls: Stalls | None = None, *, count: int | None = None
    ) -> None:
        self.port, self.count = port, count
        self.received: list[Any] = []
        self.cycles: list[int] = []
        self._stalls = stalls or Stalls()
        self._ready = False
        self._cycle = -1
        self._stable = _Stable(port)

    def drive(self, ctx: Any) -> None:
        """Drive the port for one cycle."""
        self._cycle += 1
        if self.port.signature.always_ready:
            self._ready = True
        else:
            self._ready = not self._stalls()
            ctx.set(self.port.ready, self._ready)

    def advance(self, valid: int, payload: Any) -> bool:
        """End the cycle, in which these were seen; whether the payload was taken in it."""
        self._stable.check(valid, self._ready, payload)
        taken = self._ready and bool(valid)
        if taken:
            self.received.append(payload)
            self.cycles.append(self._cycle)
        return taken

    def settle(self, ctx: Any) -> bool:
        """`advance` for a bench that drives all ports: sees the stream as it stands."""
        valid = ctx.get(self.port.valid)
        return self.advance(valid, ctx.get(self.port.payload) if valid else None)

    async def run(self, ctx: Any) -> None:
        """A bench that ends after `count` payloads."""
        while self.count is None or len(self.received) < self.count:
            self.drive(ctx)
            _, _, valid, payload = await ctx.tick().sample(self.port.valid, self.port.payload)
            self.advance(valid, payload)
        if not self.port.signature.always_ready:
            ctx.set(self.port.ready, 0)


class _Stable:
    """The rule of streams: what is offered and not taken is offered again, unchanged."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._held: Any = None
        self._holds = False

    def check(self, valid: int, ready: int, payload: Any) -> None:
        """One cycle."""
        if self._holds:
            assert valid, f"{self._port!r}: valid fell before the payload was taken"
            assert payload == self._held, f"{self._port!r}: the payload changed before it was taken"
        self._holds = bool(valid and not ready)
        self._held = payload


def stable(port: Any) -> Bench:
    """A background bench that asserts, for a stream between two units, that what is offered stays
    until it is taken.
    """
    rule = _Stable(port)

    async def watch(ctx: Any) -> None:
        while True:
            _, _, *seen = await ctx.tick().sample(port.valid, port.ready, port.payload)
            rule.check(*seen)

    return watch


def pipelined(
    dut: Any, inputs: Sequence[Mapping[str, Any]], read: Callable[[Any], Any], *, latency: int
) -> list[Any]:
    """What `read` returns `latency` cycles after each of `inputs`, which are applied in consecutive
    cycles.

    inputs : value by name of a port of `dut`. read : is called with the simulator's context.
    """
    outputs: list[Any] = []

    async def bench(ctx: Any) -> None:
        for cycle in range(len(inputs) + latency):
            for name, value in inputs[min(cycle, len(inputs) - 1)].items():
                ctx.set(getattr(dut, name), value)
            if cycle >= latency:
                outputs.append(read(ctx))
            await ctx.tick()

    simulate(dut, bench)
    return outputs
