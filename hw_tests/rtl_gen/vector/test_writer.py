# SPDX-License-Identifier: Apache-2.0
"""Result writer with the real activation memory: all modes, credits, read and write stalls, arg-max."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from meadow.spec.config import AcceleratorConfig
from rtl_gen.vector.activation_memory import ActivationMemory
from rtl_gen.vector.bundles import ResultMode, writer_depth
from rtl_gen.vector.writer import ResultWriter


def _config(width: int, lanes: int) -> AcceleratorConfig:
    return AcceleratorConfig(
        width=width,
        lanes=lanes,
        rows=2,
        groups=3,
        ports=1,
        activation_words=256,
        max_context=width,
        sequences=2,
        max_head_dim=16,
        norm_channels=width,
        decoder_elements=16,
        dictionary_entries=256,
    )


def _elements(word: int, width: int) -> list[int]:
    values = [word >> (16 * i) & 0xFFFF for i in range(width // 2)]
    return [value - (value >> 15 << 16) for value in values]


def _word(elements: list[int]) -> int:
    return sum((value & 0xFFFF) << (16 * i) for i, value in enumerate(elements))


class _Bench:
    """Writer and memory, driven cycle by cycle."""

    def __init__(self, config: AcceleratorConfig, rng: random.Random) -> None:
        self.config, self.rng = config, rng
        self.memory = ActivationMemory(config=config)
        self.writer = ResultWriter(config=config)
        self.module = m = Module()
        m.submodules.memory, m.submodules.writer = self.memory, self.writer
        connect(m, self.writer.o_read, self.memory.i_writer)
        # The writer has the highest priority at the memory, so write stalls need a gate of their own.
        self.gate = Signal(init=1)
        sink, source = self.memory.i_writer_write, self.writer.o_write
        m.d.comb += [
            sink.valid.eq(source.valid & self.gate),
            sink.payload.eq(source.payload),
            source.ready.eq(sink.ready & self.gate),
        ]
        m.d.comb += self.writer.i_read.eq(self.memory.o_writer)

    def run(
        self,
        words: list[dict[str, int]],
        *,
        send: float,
        operand: float,
        write_stall: float = 0.0,
    ) -> list[int]:
        """Send words with probability `send` while credits last; the operand client reads with `operand`.

        Returns the cycle of every retirement; checks credits, and that `busy` covers everything.
        """
        retired: list[int] = []

        async def process(ctx):
            todo = list(words)
            credits = writer_depth(self.config)
            cycle = 0
            while len(retired) < len(words):
                go = bool(todo) and credits > 0 and self.rng.random() < send
                ctx.set(self.writer.i_result.valid, go)
                if go:
                    ctx.set(self.writer.i_result.payload, todo.pop(0))
                    credits -= 1
                ctx.set(self.memory.i_operand.valid, self.rng.random() < operand)
                ctx.set(self.gate, self.rng.random() >= write_stall)
                in_flight = writer_depth(self.config) - credits
                assert not in_flight or ctx.get(self.writer.busy)
                if ctx.get(self.writer.o_retired):
                    credits += 1
                    retired.append(cycle)
                    assert credits <= writer_depth(self.config)
                await ctx.tick()
                cycle += 1
                assert cycle < 40 * len(words) + 200, "words lost"
            ctx.set(self.writer.i_result.valid, 0)
            ctx.set(self.memory.i_operand.valid, 0)
            for _ in range(60):
                if not ctx.get(self.writer.busy):
                    break
                await ctx.tick()
            assert not ctx.get(self.writer.busy)
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

        simulator = Simulator(self.module)
        simulator.add_clock(1e-8)
        simulator.add_testbench(process)
        simulator.run()
        return retired


def _apply(content: list[int], word: dict[str, int], width: int) -> None:
    data = word["data"]
    if word["mode"] == ResultMode.ADD16:
        sums = zip(_elements(content[word["address"]], width), _elements(data, width), strict=True)
        data = _word([max(-32768, min(32767, a + b)) for a, b in sums])
    for part in range(width // 16):
        if word["mask"] >> part & 1:
            field = ((1 << 128) - 1) << (128 * part)
            content[word["address"]] = content[word["address"]] & ~field | data & field


def _random_words(rng: random.Random, config: AcceleratorConfig, count: int) -> list[dict]:
    """ADD16 words that may be in flight together have different addresses."""
    addresses = list(range(200))
    rng.shuffle(addresses)
    words = []
    extreme = [-32768, 32767, -1, 0, 1, 32766]
    for index in range(count):
        elements = [
            rng.choice(extreme) if rng.random() < 0.5 else rng.randrange(-32768, 32768)
            for _ in range(config.width // 2)
        ]
        words.append(
            {
                "address": addresses[index % 200],
                "mask": rng.getrandbits(config.width // 16) | (rng.random() < 0.7),
                "mode": rng.choice([ResultMode.WRITE, ResultMode.ADD16]),
                "data": _word(elements),
            }
        )
    return words


@pytest.mark.parametrize(("width", "lanes"), [(16, 4), (32, 1)])
@pytest.mark.parametrize(
    ("send", "operand", "write_stall"),
    [(1.0, 0.0, 0.0), (0.4, 0.5, 0.3), (1.0, 0.8, 0.0), (1.0, 0.0, 0.8)],
)
def test_writes_and_saturating_additions(
    width: int, lanes: int, send: float, operand: float, write_stall: float
) -> None:
    seed = 7 + width
    print(f"seed {seed}")
    rng = random.Random(seed)
    config = _config(width, lanes)
    bench = _Bench(config, rng)
    words = _random_words(rng, config, 400)
    bench.run(words, send=send, operand=operand, write_stall=write_stall)
    content = [0] * config.activation_words
    for word in words:
        _apply(content, word, width)
    assert bench.content == content


@pytest.mark.parametrize("mode", [ResultMode.WRITE, ResultMode.ADD16, ResultMode.LOGITS16])
def test_one_word_per_cycle_and_latency(mode: ResultMode) -> None:
    config = _config(16, 4)
    bench = _Bench(config, random.Random(3))
    words = [{"address": index, "mask": 1, "mode": mode} for index in range(200)]
    retired = bench.run(words, send=1.0, operand=0.0)
    assert retired[0] == ResultWriter.LATENCY
    assert retired == list(range(retired[0], retired[0] + 200))


@pytest.mark.parametrize(("width", "lanes"), [(16, 4), (32, 2)])
@pytest.mark.parametrize(("send", "operand"), [(1.0, 0.0), (0.5, 0.6)])
def test_arg_max_of_rows(width: int, lanes: int, send: float, operand: float) -> None:
    seed = 11 + width
    print(f"seed {seed}")
    rng = random.Random(seed)
    config = _config(width, lanes)
    bench = _Bench(config, rng)
    expected = [(0, 0)] * config.chunk_tokens
    words = []
    channel = 0
    for slice_index in range(40):
        for row in range(config.chunk_tokens):
            count = rng.choice([0, 1, width // 2, rng.randrange(width // 2 + 1)])
            restart = slice_index in (0, 17)
            # Few distinct values make ties; a row of the minimum alone keeps index 0.
            elements = [
                rng.choice([-32768, -32768, -5, 3, 32767][: 2 + row]) for _ in range(width // 2)
            ]
            words.append(
                {
                    "address": len(words) % 256,
                    "mask": (1 << width // 16) - 1,
                    "mode": ResultMode.LOGITS16,
                    "row": row,
                    "channel": channel,
                    "elements": count,
                    "restart": restart,
                    "data": _word(elements),
                }
            )
            best = (-32768, 0) if restart else expected[row]
            for index, value in enumerate(elements[:count]):
                if value > best[0]:
                    best = (value, channel + index)
            expected[row] = best
        channel += width // 2
    # The same row in consecutive cycles.
    for index in range(12):
        value = -100 + index // 2
        words.append(
            {
                "address": 0,
                "mode": ResultMode.LOGITS16,
                "row": 1,
                "channel": 1000 + index * width // 2,
                "elements": 1,
                "restart": index == 0,
                "data": _word([value]),
            }
        )
    expected[1] = (-95, 1000 + 10 * width // 2)
    bench.run(words, send=send, operand=operand)
    assert bench.candidates == expected
    assert expected[0] == (-32768, 0)
