# SPDX-License-Identifier: Apache-2.0
"""Result address: words of several contexts in flight get their own address, row and mode."""

from __future__ import annotations

import random

from amaranth.sim import Simulator

from meadow.spec.config import CONFIGURATIONS
from rtl_gen.array.result_address import ResultAddress
from rtl_gen.vector.bundles import ResultMode


def test_words_take_over_their_context() -> None:
    config, seed = CONFIGURATIONS["small"], 9
    rng = random.Random(seed)
    dut = ResultAddress(config=config)
    contexts, words = [], []
    for index in range(12):
        low = rng.randrange(config.lanes)
        high = rng.randint(low + 1, config.lanes)
        context = dict(
            address=rng.randrange(1 << 18),
            stride=rng.randrange(1 << 12),
            row=rng.randrange(1 << 14),
            mask=rng.randrange(4),
            mode=rng.choice(list(ResultMode)),
            channel=index,
            elements=rng.randrange(17),
            restart=rng.randrange(2),
        )
        contexts.append({**context, "lanes_high": high})
        for lane in range(low, high):
            data = rng.getrandbits(8 * config.width)
            word = {**context, "address": context["address"] + lane * context["stride"]}
            word["row"] += lane
            del word["stride"]
            words.append((lane, {**word, "data": data}))
    seen = []

    async def bench(ctx) -> None:
        pending = list(contexts)
        for _ in range(5):
            ctx.set(dut.i_context.valid, 1)
            ctx.set(dut.i_context.payload, pending.pop(0))
            await ctx.tick()
        ctx.set(dut.i_context.valid, 0)
        for cycle in range(len(words) + ResultAddress.LATENCY):
            if cycle >= ResultAddress.LATENCY:
                assert ctx.get(dut.o_result.valid)
                payload = dut.o_result.payload
                seen.append({name: ctx.get(getattr(payload, name)) for name in words[0][1]})
            ctx.set(dut.i_result.valid, cycle < len(words))
            ctx.set(dut.i_context.valid, bool(pending) and cycle % 2 == 0)
            if pending and cycle % 2 == 0:
                ctx.set(dut.i_context.payload, pending.pop(0))
            if cycle < len(words):
                lane, word = words[cycle]
                ctx.set(dut.i_result, {"valid": 1, "lane": lane, "data": word["data"]})
            await ctx.tick()
        assert not ctx.get(dut.o_result.valid)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [word for _, word in words], f"seed {seed}"
