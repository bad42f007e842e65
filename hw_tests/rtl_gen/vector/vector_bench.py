# SPDX-License-Identifier: Apache-2.0
"""The vector unit with the real activation memory, other clients of which stall it."""

from __future__ import annotations

import random
from functools import cache

from amaranth.hdl import Module
from amaranth.lib.wiring import connect

from hw_tests.streams import Rig, stable
from hw_tests.unit_config import unit_config
from meadow.spec.commands import Command
from meadow.spec.config import AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.vector.vector_unit import VectorUnit

__all__ = ["STEP", "VectorBench", "pack", "small_config"]

STEP = Step(
    (
        Sequence(0, 0, 5, 0),
        Sequence(0, 7, 1, 5),
        Sequence(0, 3, 6, 6),
    )
)
"""Three sequences, twelve rows."""


def small_config(
    width: int,
    norm_channels: int = 64,
    *,
    sequences: int = 4,
    lanes: int = 2,
    words: int = 1024,
    probability_bits: int = 12,
    baseline: bool = True,
    norm_lanes: int = 0,
) -> AcceleratorConfig:
    """A configuration with contexts of four words of keys."""
    return unit_config(
        width,
        lanes=lanes,
        groups=8,
        sequences=sequences,
        activation_words=words,
        max_context=4 * width,
        norm_channels=norm_channels,
        probability_bits=probability_bits,
        baseline=baseline,
        norm_lanes=norm_lanes,
    )


def pack(values: list[int], bits: int) -> int:
    """Word of `values`, the first in the low bits."""
    return sum((value & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


@cache
def _elaborated(config: AcceleratorConfig) -> tuple[ActivationMemory, VectorUnit, Rig]:
    """Memory and unit, elaborated once for all tests of a configuration."""
    memory, unit = ActivationMemory(config=config), VectorUnit(config=config)
    m = Module()
    m.submodules.memory, m.submodules.unit = memory, unit
    connect(m, unit.o_read, memory.i_read.vector)
    connect(m, unit.o_write, memory.i_write.vector)
    return memory, unit, Rig(m, background=4)


class VectorBench:
    """Runs commands; `content` holds the memory before and after, `exponents` those that came with
    the last write of a word, by address, `busy_cycles` how long each command took.
    """

    def __init__(self, config: AcceleratorConfig, rng: random.Random) -> None:
        self.config, self.rng = config, rng
        self.memory, self.unit, self._rig = _elaborated(config)
        self.content = [rng.getrandbits(8 * config.width) for _ in range(config.activation_words)]
        self.exponents: dict[int, int] = {}
        self.busy_cycles: list[int] = []

    def run(
        self,
        commands: list[Command],
        step: Step,
        *,
        parameters: list[int] | None = None,
        candidates: list[tuple[int, int]] | None = None,
        stall: float = 0.0,
        write_stall: float | None = None,
    ) -> None:
        """Execute commands one after another; the memory's other clients stall reads with
        probability `stall`, writes with `write_stall`, or `stall` if not given."""
        unit, memory = self.unit, self.memory
        table = candidates or [(0, 0)]
        blocked = stall if write_stall is None else write_stall

        async def interfere(ctx):
            while True:
                ctx.set(memory.i_read.operand.address.valid, self.rng.random() < stall)
                # With mask 0.
                ctx.set(memory.i_write.writer.word.valid, self.rng.random() < blocked)
                await ctx.tick()

        async def record(ctx):
            port = unit.o_write.word
            while True:
                _, _, valid, ready, word = await ctx.tick().sample(
                    port.valid, port.ready, port.payload
                )
                if valid and ready:
                    assert word.mask == (1 << self.config.word_beats) - 1
                    self.exponents[int(word.address)] = int(word.exponent)

        async def answer(ctx):
            last = 0
            while True:
                row = ctx.get(unit.o_candidate_row)
                value, index = table[min(last, len(table) - 1)]
                await ctx.tick()
                ctx.set(unit.i_candidate, {"value": value, "index": index})
                last = row

        async def process(ctx):
            for address, word in enumerate(self.content):
                for index, bank in enumerate(memory.banks):
                    ctx.set(bank.data[address], word >> (128 * index) & ((1 << 128) - 1))
            entries = [
                {
                    "kv_base": entry.kv_base,
                    "position": entry.position,
                    "tokens": entry.tokens,
                    "first_row": entry.first_row,
                }
                for entry in step.sequences
            ]
            entries += [dict.fromkeys(entries[0], 0)] * (self.config.sequences - len(entries))
            ctx.set(
                unit.step,
                {
                    "rows": step.rows,
                    "sequences": len(step.sequences),
                    "outputs": 1,
                    "head_all": step.head_all,
                    "entries": entries,
                },
            )
            for address, word in enumerate(parameters or []):
                ctx.set(unit.i_norm.valid, 1)
                ctx.set(unit.i_norm.payload, {"address": address, "data": word})
                await ctx.tick()
            ctx.set(unit.i_norm.valid, 0)
            for command in commands:
                assert not ctx.get(unit.busy)
                ctx.set(unit.i_command.valid, 1)
                ctx.set(unit.i_command.payload, int.from_bytes(command.encode(), "little"))
                assert ctx.get(unit.busy)
                assert ctx.get(unit.i_command.ready)
                cycles = 0
                while True:
                    await ctx.tick()
                    ctx.set(unit.i_command.valid, 0)
                    cycles += 1
                    if not ctx.get(unit.busy):
                        break
                    assert cycles < 20_000, "hangs"
                self.busy_cycles.append(cycles)
                # What follows `busy` reads new data: the last write is at most in the memory's
                # input register.
                await ctx.tick()
            for address in range(len(self.content)):
                self.content[address] = sum(
                    ctx.get(bank.data[address]) << (128 * index)
                    for index, bank in enumerate(memory.banks)
                )

        watch = stable(unit.o_write.word)
        self._rig.simulate(process, background=[interfere, watch, record, answer])
