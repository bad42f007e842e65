# SPDX-License-Identifier: Apache-2.0
"""What surrounds the array in its tests: activation memory, decoders and writer."""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from hw_tests.epilogues import finished, written_word
from hw_tests.rtl_gen.array.step_registers import set_step
from hw_tests.rtl_gen.fields import leaves
from hw_tests.seeds import salted
from hw_tests.streams import Rig
from meadow.spec.commands import Command
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.epilogue import ResultMode, result_modes_with
from meadow.spec.numerics import TABLE_ENTRIES
from meadow.spec.step import Step
from rtl_gen.array.array import Array
from rtl_gen.interfaces.result import writer_depth

__all__ = ["SEED", "SHORT_STEPS", "TABLE", "TINY", "WIDE", "Scenario", "run_scenarios"]

SEED = 20
TINY = dataclasses.replace(CONFIGURATIONS["tiny"], groups=5, max_head_dim=32)
WIDE = dataclasses.replace(
    CONFIGURATIONS["tiny"], width=32, lanes=4, groups=3, ports=2, max_head_dim=64
)
SHORT_STEPS = dataclasses.replace(TINY, rows=4)
TABLE = np.random.default_rng(salted(SEED)).integers(-(1 << 15), 1 << 15, TABLE_ENTRIES).tolist()
"""The writer's activation table."""
_WITH_HALVES = result_modes_with(lambda epilogue: epilogue.halves)
_WITH_OPERAND = result_modes_with(lambda epilogue: epilogue.operand)
_CAUSES = ("tile", "operand", "drain", "softmax")


@dataclasses.dataclass(kw_only=True)
class Scenario:
    """What the array is given, and what must come of it. tiles: (header or None, int8 [W, W]) in
    order; exponents: of the words of the memory.
    """

    name: str
    memory: np.ndarray
    expected: np.ndarray
    exponents: np.ndarray
    expected_exponents: np.ndarray
    tiles: list[tuple]
    commands: list[Command]
    step: Step
    stalls: bool
    logits: list[tuple[int, ...]] = dataclasses.field(default_factory=list)
    words: list[dict[str, int]] = dataclasses.field(default_factory=list)
    busy: list[int] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        wrong = np.argwhere(self.memory != self.expected)
        assert not len(wrong), f"{self.name}: {len(wrong)} bytes differ, first {wrong[0]}"
        wrong = np.argwhere(self.exponents != self.expected_exponents)
        assert not len(wrong), f"{self.name}: {len(wrong)} exponents differ, first {wrong[0]}"
        fields = ("row", "channel", "elements", "restart")
        seen = [tuple(word[f] for f in fields) for word in self.words]
        assert not self.logits or sorted(seen) == sorted(self.logits), self.name

    @property
    def span(self) -> int:
        """Cycles from the first to the last issue."""
        return len(self.busy) - self.busy[::-1].index(1) - self.busy.index(1)


def run_scenarios(
    config: AcceleratorConfig,
    scenarios: list[Scenario],
    tried: tuple[Any, Rig] | None = None,
) -> None:
    """Run scenarios one after the other in one simulation, so that each starts in the state the
    last one left.

    tried: what is in the place of an Array and its Rig.
    """
    bench = _Bench(config, tried)

    async def testbench(ctx) -> None:
        for scenario in scenarios:
            await bench.run(ctx, scenario)
            scenario.check()

    bench.rig.simulate(testbench)


@cache
def _elaborated(config: AcceleratorConfig) -> tuple[Array, Rig]:
    """One array for all tests of a configuration."""
    dut = Array(config=config)
    return dut, Rig(dut)


class _Bench:
    """Everything around the array: activation memory, decoders and writer, each with random stalls
    if wanted.

    A header is written before its tile, as decoders do.
    """

    def __init__(self, config: AcceleratorConfig, tried: tuple[Any, Rig] | None) -> None:
        self.config = config
        self.dut, self.rig = _elaborated(config) if tried is None else tried
        self.rng = random.Random(salted(SEED))
        self.slots = {"tile": [0] * config.ports, "parameter": [0] * config.ports}

    def _chance(self, share: float) -> bool:
        return not self.scenario.stalls or self.rng.random() < share

    def _port(self, port: int) -> Iterator[tuple]:
        """What port's decoder does, one item per cycle."""
        config = self.config
        rows = slice(port * config.port_rows, (port + 1) * config.port_rows)
        tile_slot, parameter_slot = self.slots["tile"], self.slots["parameter"]
        step = config.decoder_elements
        for header, tile in self.scenario.tiles:
            if header is not None:
                yield ("need_parameter",)
                mine = [values[rows] for values in header]
                for beat in range(config.port_rows // 2):
                    packed = 0
                    for i in range(2):
                        bias, multiplier, shift = (int(v[2 * beat + i]) for v in mine)
                        packed |= (bias & 0xFFFFFFFF | multiplier << 32 | shift << 48) << 64 * i
                    done = beat == config.port_rows // 2 - 1
                    yield (
                        "parameter",
                        dict(slot=parameter_slot[port], beat=beat, data=packed),
                        done,
                    )
                parameter_slot[port] ^= 1
            yield ("need_tile",)
            for row, values in enumerate(tile[rows]):
                for column in range(0, config.width, step):
                    data = int.from_bytes(values[column : column + step].tobytes(), "little")
                    done = row == config.port_rows - 1 and column + step >= config.width
                    mask = (1 << step // 16) - 1
                    part = dict(slot=tile_slot[port], row=row, column_beats=column // 16)
                    part |= dict(mask=mask, data=data)
                    yield ("tile", part, done)
            tile_slot[port] ^= 1

    async def run(self, ctx, scenario: Scenario, limit: int = 20000) -> None:
        self.scenario = scenario
        dut, config, commands = self.dut, self.config, scenario.commands
        ports = range(config.ports)
        set_step(ctx, dut.step, scenario.step)
        pending = deque(int.from_bytes(command.encode(), "little") for command in commands)
        decoders = [self._port(port) for port in ports]
        items = [next(decoder, None) for decoder in decoders]
        tile_credits, parameter_credits = [2] * config.ports, [2] * config.ports
        answers: deque[int] = deque()
        self.first_halves: dict[int, list[int]] = {}
        unretired = 0
        for _ in range(limit):
            ctx.set(dut.i_command.valid, bool(pending))
            if pending:
                ctx.set(dut.i_command.payload, pending[0])
            for port in ports:
                self._decode(ctx, port, items, decoders, tile_credits, parameter_credits)
            answer = bool(answers) and self._chance(0.5)
            ctx.set(dut.o_read.data.valid, answer)
            if answer:
                address = answers.popleft()
                word = scenario.memory[address]
                ctx.set(dut.o_read.data.payload, int.from_bytes(word.tobytes(), "little"))
                ctx.set(dut.o_read.exponent, int(scenario.exponents[address]))
            ready = self._chance(0.6)
            ctx.set(dut.o_read.address.ready, ready)
            retire = unretired > 0 and self._chance(0.15)
            ctx.set(dut.i_result_retired, retire)
            unretired -= retire

            if ctx.get(dut.o_read.address.valid) and ready:
                answers.append(ctx.get(dut.o_read.address.payload))
            for port in ports:
                tile_credits[port] += ctx.get(dut.i_tile[port].free)
                parameter_credits[port] += ctx.get(dut.i_parameter[port].free)
            if ctx.get(dut.o_result.valid):
                self._write(ctx)
                unretired += 1
                assert unretired <= writer_depth(config)
            scenario.busy.append(ctx.get(dut.o_activity.busy_cycle))
            causes = [ctx.get(getattr(dut.o_activity, f"stall_{name}")) for name in _CAUSES]
            assert sum(causes) + scenario.busy[-1] <= 1
            taken = pending and ctx.get(dut.i_command.ready)
            await ctx.tick()
            if taken:
                pending.popleft()
            if not pending and not ctx.get(dut.busy):
                break
        else:
            raise AssertionError(f"{scenario.name}: the array is still busy")
        assert not any(items), "tiles are left"
        assert tile_credits == parameter_credits == [2] * config.ports
        assert not answers and not unretired and not self.first_halves

    def _decode(self, ctx, port, items, decoders, tile_credits, parameter_credits) -> None:
        dut, item = self.dut, items[port]
        if item and item[0].startswith("need"):
            credits = tile_credits if item[0] == "need_tile" else parameter_credits
            if credits[port]:
                credits[port] -= 1
                item = items[port] = next(decoders[port])
        acts = bool(item) and not item[0].startswith("need") and self._chance(0.5)
        for kind, fill in (("tile", dut.i_tile[port]), ("parameter", dut.i_parameter[port])):
            mine = acts and item[0] == kind
            ctx.set(fill.write.valid, mine)
            ctx.set(fill.done, mine and item[2])
            if mine:
                ctx.set(fill.write.payload, item[1])
        if acts:
            items[port] = next(decoders[port], None)

    def _write(self, ctx) -> None:
        word = leaves(ctx.get(self.dut.o_result.payload))
        self.scenario.words.append(word)
        data = np.frombuffer(word["data"].to_bytes(self.config.width, "little"), np.uint8)
        memory, address = self.scenario.memory, word["address"]
        whole = (1 << self.config.word_beats) - 1
        operand = word["operand"] if word["mode"] in _WITH_OPERAND else address
        second = memory[operand].view("<i2").tolist()
        mode, shift = ResultMode(word["mode"]), word["shift"]
        values = data.view("<i2").tolist()
        result = finished(mode, values, second=second, table=TABLE, shift=shift)
        exponent = 0
        if mode in _WITH_HALVES:
            assert word["mask"] == whole
            if not word["half"]:
                assert address not in self.first_halves
                self.first_halves[address] = result
                return
            elements, exponent = written_word(self.first_halves.pop(address) + result)
            data = np.array(elements, np.int8).view(np.uint8)
        else:
            data = np.array(result, "<i2").view(np.uint8)
        mask = np.repeat([word["mask"] >> i & 1 for i in range(self.config.word_beats)], 16)
        memory[address] = np.where(mask, data, memory[address])
        if word["mask"] == whole:
            self.scenario.exponents[address] = exponent
