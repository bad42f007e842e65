# SPDX-License-Identifier: Apache-2.0
"""The stream helpers around real queues, and around units that break the rule of streams."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw_tests.streams import (
    STALLS,
    Rig,
    Sink,
    Source,
    Stalls,
    get,
    pipelined,
    put,
    simulate,
    stable,
)
from rtl_gen.blocks.product import Product
from rtl_gen.blocks.queue import Queue
from rtl_gen.blocks.skid import Skid

_PAIR = data.StructLayout({"low": 8, "high": 8})
_WORDS = list(range(1, 200))


class _Impatient(wiring.Component):
    """Breaks the rule in its fourth cycle: withdraws what it offers, or offers something else."""

    def __init__(self, *, withdraws: bool) -> None:
        self._withdraws = withdraws
        super().__init__({"o": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        cycle = Signal(8)
        m.d.sync += cycle.eq(cycle + 1)
        m.d.comb += self.o.valid.eq(~((cycle == 3) & self._withdraws))
        m.d.comb += self.o.payload.eq((cycle >= 3) & (not self._withdraws))
        return m


class _Counter(wiring.Component):
    """A flow that nothing can hold up: how many payloads came before."""

    def __init__(self) -> None:
        flow = stream.Signature(8, always_ready=True)
        super().__init__({"i": In(flow), "o": Out(flow)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.o.valid.eq(self.i.valid)
        with m.If(self.o.valid):
            m.d.sync += self.o.payload.eq(self.o.payload + 1)
        return m


@pytest.mark.parametrize("stalls", STALLS)
def test_source_and_sink_pass_every_payload_in_order(stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    dut = Queue(shape=8, depth=3)
    source = Source(dut.i, _WORDS, Stalls(producer, seed=1))
    sink = Sink(dut.o, Stalls(consumer, seed=2), count=len(_WORDS))
    simulate(dut, source.run, sink.run, background=[stable(dut.i), stable(dut.o)])
    assert sink.received == _WORDS
    assert len(source.cycles) == len(sink.cycles) == len(_WORDS)
    assert sink.cycles[0] >= source.cycles[0] + dut.latency
    if stalls == "free":
        assert source.cycles == list(range(len(_WORDS)))
        assert sink.cycles == [cycle + dut.latency for cycle in source.cycles]
    else:
        assert sink.cycles[-1] > 1.3 * len(_WORDS)


def test_one_bench_may_drive_all_ports() -> None:
    """Cycle by cycle it sees what two benches see."""

    def pair(dut: Skid) -> tuple[Source, Sink]:
        sink = Sink(dut.o, Stalls(0.5, seed=4), count=len(_WORDS))
        return Source(dut.i, _WORDS, Stalls(0.5, seed=3)), sink

    dut = Skid(shape=8)
    source, sink = pair(dut)
    simulate(dut, source.run, sink.run)
    again = Skid(shape=8)
    source_again, sink_again = pair(again)

    async def bench(ctx: Any) -> None:
        while len(sink_again.received) < len(_WORDS):
            source_again.drive(ctx)
            sink_again.drive(ctx)
            source_again.settle(ctx)
            sink_again.settle(ctx)
            await ctx.tick()

    simulate(again, bench)
    assert sink_again.received == sink.received == _WORDS
    assert (source_again.cycles, sink_again.cycles) == (source.cycles, sink.cycles)


def test_put_and_get_hand_over_one_payload_each() -> None:
    dut = Queue(shape=_PAIR, depth=3)
    pairs = [{"low": number, "high": 255 - number} for number in range(20)]
    seen = []

    async def feed(ctx: Any) -> None:
        for pair in pairs:
            await put(ctx, dut.i, pair)
        assert not ctx.get(dut.i.valid)

    async def take(ctx: Any) -> None:
        for _ in pairs:
            payload = await get(ctx, dut.o)
            seen.append({"low": payload.low, "high": payload.high})
            assert not ctx.get(dut.o.ready)

    simulate(dut, take, background=[feed])
    assert seen == pairs


def test_flows_without_back_pressure_are_only_watched() -> None:
    dut = _Counter()
    source = Source(dut.i, [0] * 10, Stalls(0.5, seed=5))
    sink = Sink(dut.o, count=10)
    simulate(dut, source.run, sink.run)
    assert sink.received == list(range(10))
    assert sink.cycles == [cycle + 1 for cycle in source.cycles]

    async def bench(ctx: Any) -> None:
        await put(ctx, again.i, 0)
        assert await get(ctx, again.o) == 0

    again = _Counter()
    simulate(again, bench)


@pytest.mark.parametrize(
    ("withdraws", "message"),
    [(True, "valid fell before the payload was taken"), (False, "the payload changed before")],
)
def test_a_payload_that_does_not_stay_is_refused(withdraws: bool, message: str) -> None:
    never = Stalls(1.0)

    async def wait(ctx: Any) -> None:
        for _ in range(10):
            await ctx.tick()

    dut = _Impatient(withdraws=withdraws)
    with pytest.raises(AssertionError, match=message):
        simulate(dut, wait, background=[Sink(dut.o, never).run])
    dut = _Impatient(withdraws=withdraws)
    with pytest.raises(AssertionError, match=message):
        simulate(dut, wait, background=[stable(dut.o)])
    # Whoever takes it in time sees nothing wrong.
    dut = _Impatient(withdraws=withdraws)
    simulate(dut, Sink(dut.o, count=3).run, background=[stable(dut.o)])


def test_a_bench_that_does_not_end_is_stopped() -> None:
    dut = Queue(shape=8, depth=3)
    sink = Sink(dut.o, count=4)
    with pytest.raises(AssertionError, match="not finished after 50 cycles"):
        simulate(dut, sink.run, background=[Source(dut.i, [1, 2, 3]).run], limit=50)
    assert sink.received == [1, 2, 3]


def test_a_rig_starts_every_run_from_the_initial_state() -> None:
    """Also after a run that left payloads behind, or failed."""
    dut = Queue(shape=8, depth=3)
    rig = Rig(dut, background=1)
    seen = []
    for count in (5, 20, 20):
        source, sink = Source(dut.i, _WORDS), Sink(dut.o, Stalls(0.3, seed=6), count=count)
        rig.simulate(sink.run, background=[source.run])
        assert sink.received == _WORDS[:count]
        seen.append(sink.cycles)
        with pytest.raises(AssertionError, match="not finished after 9 cycles"):
            rig.simulate(Sink(dut.o).run, background=[Source(dut.i, _WORDS).run], limit=9)
    assert seen[1] == seen[2] and seen[0] == seen[1][:5]
    sink = Sink(dut.o)
    with pytest.raises(ValueError, match="there is room for 1 benches, not for 2"):
        rig.simulate(sink.run, sink.run)


def test_a_unit_without_a_clock_is_simulated_without_one() -> None:
    m, value, twice = Module(), Signal(8), Signal(8)
    m.d.comb += twice.eq(2 * value)
    seen = []

    async def bench(ctx: Any) -> None:
        for number in range(5):
            ctx.set(value, number)
            seen.append(ctx.get(twice))

    simulate(m, bench)
    assert seen == [0, 2, 4, 6, 8]


def test_stalls_follow_their_seed() -> None:
    first, same, other = (Stalls(0.5, seed=seed) for seed in (7, 7, 8))
    draws = [[stalls() for _ in range(200)] for stalls in (first, same, other)]
    assert draws[0] == draws[1] != draws[2]
    assert 60 < sum(draws[0]) < 140
    assert not any(Stalls()() for _ in range(100))


def test_pipelined_reads_each_result_after_the_latency() -> None:
    dut = Product(a_bits=20, b_bits=20)
    inputs = [{"i_a": number, "i_b": number + 1} for number in range(10)]
    outputs = pipelined(dut, inputs, lambda ctx: ctx.get(dut.o), latency=dut.LATENCY)
    assert outputs == [number * (number + 1) for number in range(10)]
