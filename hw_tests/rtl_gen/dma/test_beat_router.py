# SPDX-License-Identifier: Apache-2.0
"""Beats of a port to the outputs of their routes, with stalls of each."""

from __future__ import annotations

import random

import pytest

from hw_tests.seeds import salted
from hw_tests.streams import STALLS, Sink, Source, Stalls, simulate
from rtl_gen.dma.beat_router import BeatRouter
from rtl_gen.interfaces.dma import Route


@pytest.mark.parametrize("stalls", STALLS)
def test_every_beat_goes_where_its_route_says(stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    rng = random.Random(salted(stalls))
    dut = BeatRouter()
    beats = [
        {"data": rng.getrandbits(128), "route": rng.choice(list(Route)), "last": rng.randrange(2)}
        for _ in range(200)
    ]
    source = Source(dut.i, beats, Stalls(producer, rng))
    outputs = {
        dut.o_command: (Route.COMMAND,),
        dut.o_load: (Route.LOAD,),
        dut.o_decoder: (Route.WEIGHTS, Route.KV),
    }
    sinks = [Sink(port, Stalls(consumer, rng)) for port in outputs]
    taken = 0

    async def bench(ctx) -> None:
        nonlocal taken
        while source.payloads:
            for part in (source, *sinks):
                part.drive(ctx)
            seen = sum(sink.settle(ctx) for sink in sinks)
            assert seen == source.settle(ctx), "a beat is taken once or not at all"
            taken += seen
            await ctx.delay(1e-9)

    simulate(dut, bench)
    assert taken == len(beats)
    for sink, routes in zip(sinks, outputs.values(), strict=True):
        assert sink.received == [beat["data"] for beat in beats if beat["route"] in routes]
