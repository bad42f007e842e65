# SPDX-License-Identifier: Apache-2.0
"""Bench and model of the result writer at a real activation memory."""

from __future__ import annotations

import random
from collections import deque
from functools import cache
from typing import NamedTuple

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib.wiring import connect

from hw_tests.epilogues import finished, written_word
from hw_tests.streams import Rig
from hw_tests.unit_config import unit_config
from meadow.spec.config import AcceleratorConfig
from meadow.spec.epilogue import ResultMode, SecondOperand, result_modes_with
from rtl_gen.interfaces.result import writer_depth
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.writer.writer import ResultWriter

__all__ = [
    "COMPUTED",
    "HALVED",
    "IN_PLACE",
    "LOOKING_UP",
    "OPERAND",
    "WriterBench",
    "WriterModel",
    "join",
    "small_config",
    "split",
]


def small_config(width: int, lanes: int) -> AcceleratorConfig:
    """256 words of activation memory and chunks of 3 token groups."""
    return unit_config(width, lanes=lanes, groups=3)


HALVED = result_modes_with(lambda epilogue: epilogue.halves)
OPERAND = result_modes_with(lambda epilogue: epilogue.operand)
IN_PLACE = result_modes_with(lambda epilogue: epilogue.second == SecondOperand.DESTINATION)
LOOKING_UP = result_modes_with(lambda epilogue: epilogue.second == SecondOperand.TABLE)
COMPUTED = tuple(
    mode for mode in ResultMode if mode.name not in ("WRITE", "ADD16", "LOGITS16", "WORD")
)
"""Result modes that make halves of words, that read the word at `operand`, that read what they
replace, that look up, that use ElementFunctions.
"""


def split(word: int, bits: int, count: int) -> list[int]:
    values = [word >> (bits * i) & ((1 << bits) - 1) for i in range(count)]
    return [value - (value >> (bits - 1) << bits) for value in values]


def join(values: list[int], bits: int = 16) -> int:
    return sum((value & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


class _Elaborated(NamedTuple):
    memory: ActivationMemory
    writer: ResultWriter
    reset: Signal
    gate: Signal
    rig: Rig


@cache
def _elaborated(config: AcceleratorConfig) -> _Elaborated:
    """Writer and memory, elaborated once for all tests of a configuration."""
    memory, writer = ActivationMemory(config=config), ResultWriter(config=config)
    m, reset = Module(), Signal()
    m.submodules.memory = memory
    m.submodules.writer = ResetInserter(reset)(writer)
    connect(m, writer.o_read, memory.i_read.writer)
    # The writer has the highest priority at the memory, so write stalls need a gate of their own.
    gate = Signal(init=1)
    sink, source = memory.i_write.writer.word, writer.o_write.word
    m.d.comb += [
        sink.valid.eq(source.valid & gate),
        sink.payload.eq(source.payload),
        source.ready.eq(sink.ready & gate),
    ]
    return _Elaborated(memory, writer, reset, gate, Rig(m))


class WriterBench:
    """Writer and memory, driven cycle by cycle."""

    def __init__(
        self, config: AcceleratorConfig, rng: random.Random, content: list[int] | None = None
    ) -> None:
        self.config, self.rng = config, rng
        self.content = content or [0] * config.activation_words
        built = _elaborated(config)
        self.memory, self.writer, self.rig = built.memory, built.writer, built.rig
        self.reset, self.gate = built.reset, built.gate
        self.accesses: dict[str, list[tuple[int, int]]] = {"read": [], "write": []}
        """Command and address of each, in order."""
        self.exponents: dict[int, int] = {}
        """By address, the exponent that came with the last write of a whole word."""

    async def _load_table(self, ctx, table: list[int], send: float) -> None:
        source = self.writer.i_table
        entries = self.config.width // 2
        for address in range(len(table) // entries):
            while self.rng.random() >= send:
                await ctx.tick()
            ctx.set(source.valid, 1)
            ctx.set(source.payload.address, address)
            ctx.set(source.payload.data, join(table[address * entries :][:entries]))
            while not ctx.get(source.ready):
                assert ctx.get(self.writer.busy)
                await ctx.tick()
            assert ctx.get(self.writer.busy)
            await ctx.tick()
            ctx.set(source.valid, 0)
            assert ctx.get(self.writer.busy)

    def run(
        self,
        words: list[dict[str, int]],
        *,
        send: float,
        operand: float,
        write_stall: float = 0.0,
        table: list[int] | None = None,
    ) -> list[int]:
        """Send words with probability `send` while credits last; the operand client reads with
        `operand`.

        The first result comes right after the last table word was taken. A word {"reset": 1} is a
        reset when all is idle.

        Returns the cycle of every retirement; checks credits, and that `busy` covers everything.
        """
        retired: list[int] = []

        async def process(ctx):
            for address, word in enumerate(self.content):
                for index, bank in enumerate(self.memory.banks):
                    ctx.set(bank.data[address], word >> (128 * index) & ((1 << 128) - 1))
            await self._load_table(ctx, table or [], send)
            todo = deque(words)
            total = sum("reset" not in word for word in words)
            credits = writer_depth(self.config)
            cycle = 0
            while len(retired) < total:
                if todo and "reset" in todo[0] and credits == writer_depth(self.config):
                    todo.popleft()
                    ctx.set(self.reset, 1)
                    await ctx.tick()
                    ctx.set(self.reset, 0)
                ready = bool(todo) and "reset" not in todo[0] and credits > 0
                go = ready and self.rng.random() < send
                ctx.set(self.writer.i_result.valid, go)
                if go:
                    ctx.set(self.writer.i_result.payload, todo.popleft())
                    credits -= 1
                ctx.set(self.memory.i_read.operand.address.valid, self.rng.random() < operand)
                ctx.set(self.gate, self.rng.random() >= write_stall)
                in_flight = writer_depth(self.config) - credits
                assert not in_flight or ctx.get(self.writer.busy)
                if ctx.get(self.writer.o_retired):
                    credits += 1
                    retired.append(cycle)
                    assert credits <= writer_depth(self.config)
                read, write = self.writer.o_read, self.writer.o_write
                for kind, client, port, address in (
                    ("read", read, read.address, read.address.payload),
                    ("write", write, write.word, write.word.payload.address),
                ):
                    if ctx.get(port.valid & port.ready):
                        self.accesses[kind].append((ctx.get(client.command), ctx.get(address)))
                if ctx.get(write.word.valid & write.word.ready):
                    payload = write.word.payload
                    if ctx.get(payload.mask.all()):
                        self.exponents[ctx.get(payload.address)] = ctx.get(payload.exponent)
                await ctx.tick()
                cycle += 1
                assert cycle < 40 * len(words) + 200, "words lost"
            ctx.set(self.writer.i_result.valid, 0)
            ctx.set(self.memory.i_read.operand.address.valid, 0)
            for _ in range(60):
                if not ctx.get(self.writer.busy):
                    break
                await ctx.tick()
            assert not ctx.get(self.writer.busy)
            await ctx.tick().repeat(2)  # the last word is on its way to the banks
            self.content = []
            for address in range(self.config.activation_words):
                word = 0
                for index, bank in enumerate(self.memory.banks):
                    word |= ctx.get(bank.data[address]) << (128 * index)
                self.content.append(word)
            self.candidates = []
            for row in range(self.config.chunk_tokens):
                ctx.set(self.writer.i_candidate_row, row)
                await ctx.tick().repeat(2)
                candidate = self.writer.o_candidate
                self.candidates.append((ctx.get(candidate.value), ctx.get(candidate.index)))

        self.rig.simulate(process)
        return retired


class WriterModel:
    """The activation memory, word for word as the modes are defined; `exponents` of the words that
    were written as a whole.
    """

    def __init__(self, width: int, content: list[int], table: list[int]) -> None:
        self.width, self.content, self.table = width, list(content), table
        self.exponents: dict[int, int] = {}
        self.halves: deque[list[int]] = deque()

    def elements_of(self, word: dict[str, int]) -> list[int]:
        """The W/2 elements that a word becomes, before halves are put together."""
        count = self.width // 2
        second = self.content[word["operand" if word["mode"] in OPERAND else "address"]]
        return finished(
            ResultMode(word["mode"]),
            split(word["data"], 16, count),
            second=split(second, 16, count),
            table=self.table,
            shift=word.get("shift", 0),
        )

    def apply(self, word: dict[str, int]) -> None:
        if "reset" in word:
            self.halves.clear()
            return
        elements, exponent = self.elements_of(word), 0
        data = join(elements)
        if word["mode"] in HALVED:
            if not word["half"]:
                self.halves.append(elements)
                return
            values, exponent = written_word(self.halves.popleft() + elements)
            data = join(values, 8)
        for part in range(self.width // 16):
            if word["mask"] >> part & 1:
                field = ((1 << 128) - 1) << (128 * part)
                old = self.content[word["address"]]
                self.content[word["address"]] = old & ~field | data & field
        if word["mask"] + 1 == 1 << self.width // 16:
            self.exponents[word["address"]] = exponent
