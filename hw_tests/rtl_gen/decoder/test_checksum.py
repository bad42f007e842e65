# SPDX-License-Identifier: Apache-2.0
"""The parallel CRC-32 against zlib."""

from __future__ import annotations

import random
import zlib

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.decoder.checksum import StreamChecksum


def test_runs() -> None:
    """Runs of 1..20 beats back to back, with and without idle cycles; every second one spoiled in
    one bit.

    The checksum is in the last four bytes of the first beat, which count as 0.
    """
    dut = StreamChecksum()
    rng = random.Random(salted(8))
    cycles: list[dict[str, int]] = []
    expected = []
    for number in range(40):
        data = rng.randbytes(16 * rng.randrange(1, 21))
        data = data[:12] + bytes(4) + data[16:]
        checksum = zlib.crc32(data) ^ (1 << rng.randrange(32) if number & 1 else 0)
        data = data[:12] + checksum.to_bytes(4, "little") + data[16:]
        for start in range(0, len(data), 16):
            cycles += [{"valid": 0, "last": 1}] * rng.choice([0, 0, 2])
            last = start + 16 == len(data)
            beat = int.from_bytes(data[start : start + 16], "little")
            cycles.append({"valid": 1, "first": not start, "last": last, "data": beat})
        if number & 1:
            expected.append(len(cycles) - 1 + StreamChecksum.latency)
    seen = []

    async def bench(ctx):
        for index, cycle in enumerate([*cycles, *[{"valid": 0}] * 6]):
            if ctx.get(dut.mismatch):
                seen.append(index)
            for name, value in cycle.items():
                ctx.set(getattr(dut, name), value)
            await ctx.tick()

    simulate(dut, bench)
    assert seen == expected
