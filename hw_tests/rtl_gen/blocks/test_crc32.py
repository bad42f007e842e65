# SPDX-License-Identifier: Apache-2.0
"""The XOR network against zlib."""

from __future__ import annotations

import random
import zlib

from amaranth.hdl import Const, Module, Signal

from hw_tests.seeds import salted
from hw_tests.streams import simulate
from rtl_gen.blocks.crc32 import CRC_ONES, CRC_RESIDUE, crc_network


def test_network_is_zlibs() -> None:
    """Beat after beat, and the register after data with its own CRC-32."""
    beat, register, following = Signal(128), Signal(32), Signal(32)
    m = Module()
    m.d.comb += following.eq(crc_network(beat) ^ crc_network(register))
    chance = random.Random(salted(3))

    async def bench(ctx) -> None:
        for beats in (1, 2, 4, 9):
            body = chance.randbytes(16 * beats - 4)
            data = body + zlib.crc32(body).to_bytes(4, "little")
            state = CRC_ONES
            for start in range(0, len(data), 16):
                ctx.set(beat, int.from_bytes(data[start : start + 16], "little"))
                ctx.set(register, state)
                state = ctx.get(following)
                assert state ^ CRC_ONES == zlib.crc32(data[: start + 16])
            assert state == CRC_RESIDUE

    simulate(m, bench)


def test_few_bits_are_low_bits() -> None:
    assert len(crc_network(Const(0, 32))) == 32
