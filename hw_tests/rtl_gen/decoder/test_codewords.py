# SPDX-License-Identifier: Apache-2.0
"""Quotients of runs against counting zeros."""

from __future__ import annotations

import random

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from meadow.spec.streams import RUN_BITS, RUN_WEIGHTS
from rtl_gen.decoder.codewords import Codewords


def test_runs() -> None:
    """Runs of 8 to RUN_BITS bits, one per cycle, all zeros in one codeword or spread; any bits
    behind them.
    """
    seed = 4
    print(f"seed={seed}")
    rng = random.Random(salted(seed))
    dut = Codewords()
    runs = []
    for number in range(400):
        zeros = rng.choice([0, RUN_BITS - RUN_WEIGHTS, rng.randrange(RUN_BITS - RUN_WEIGHTS + 1)])
        quotients = [0] * RUN_WEIGHTS
        for _ in range(zeros):
            quotients[number % 8 if number % 3 else rng.randrange(8)] += 1
        bits = "".join("0" * quotient + "1" for quotient in quotients)
        run = int(bits[::-1], 2) | rng.getrandbits(32) << len(bits) & (1 << RUN_BITS) - 1
        runs.append((quotients, {"bits": run, "last": len(bits) - 1}))
    seen = []

    async def bench(ctx):
        for cycle in range(len(runs) + Codewords.latency):
            if cycle >= Codewords.latency:
                seen.append(list(ctx.get(dut.quotients)))
            ctx.set(dut.run, runs[cycle][1] if cycle < len(runs) else {})
            await ctx.tick()

    simulate(dut, bench)
    assert seen == [quotients for quotients, _ in runs]
