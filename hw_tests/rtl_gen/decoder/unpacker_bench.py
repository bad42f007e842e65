# SPDX-License-Identifier: Apache-2.0
"""What the benches of the unpackers share: parts and errors by cycle."""

from __future__ import annotations

from typing import Any

__all__ = ["UnpackerBench"]


class UnpackerBench:
    """Counts cycles and collects what an unpacker gives.

    cycle : the present one. parts : (cycle, bytes) of each part. errors : cycles of them.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.cycle = 0
        self.parts: list[tuple[int, int]] = []
        self.errors: list[int] = []

    async def tick(self, ctx: Any) -> None:
        """To the next cycle, in which parts and errors are looked for."""
        await ctx.tick()
        self.cycle += 1
        if ctx.get(self.dut.part.valid):
            self.parts.append((self.cycle, ctx.get(self.dut.part.payload)))
        if ctx.get(self.dut.bad):
            self.errors.append(self.cycle)
