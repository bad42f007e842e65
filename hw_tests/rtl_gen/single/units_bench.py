# SPDX-License-Identifier: Apache-2.0
"""The generated Verilog of each unit alone between its bench and the golden model."""

from __future__ import annotations

from functools import cache

import numpy as np

from hw_tests.rtl_gen.array.array_bench import Scenario, run_scenarios
from hw_tests.rtl_gen.decoder.decoder_bench import check
from hw_tests.rtl_gen.decoder.decoder_load import Load
from hw_tests.rtl_gen.dma.controller_bench import background_benches, check_commands
from hw_tests.seeds import salted
from hw_tests.verilog_unit import VerilogRig, VerilogUnit
from meadow.golden.machine.machine import Machine
from meadow.golden.streams.decode import unpack_stream
from meadow.spec.commands import Command, Opcode
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.step import Sequence, Step
from rtl_gen.blocks.reset import RESET_CYCLES
from rtl_gen.single.unit import SINGLE_UNITS, single_name, single_verilog

__all__ = ["attend", "decode", "move"]

Cycles = list[dict[str, int]]
"""Ports by name in every cycle, as `VerilogUnit.cycles`."""


@cache
def _unit(unit: str, config: AcceleratorConfig) -> tuple[VerilogUnit, VerilogRig]:
    component = SINGLE_UNITS[unit].make(config)
    verilog = single_verilog(unit, config)
    made = VerilogUnit(verilog, single_name(unit), component)
    room = background_benches(config) if unit == "dma" else 1
    return made, VerilogRig(made, background=room)


def decode(config: AcceleratorConfig, loads: list[Load]) -> Cycles:
    """The decoder writes what the golden model unpacks, tile for tile and header for header."""
    for load in loads:
        _check_golden(load)
    unit, rig = _unit("decoder", config)
    check(loads, tried=(unit, unit.rst, rig), reset_cycles=RESET_CYCLES)
    return unit.cycles


def _check_golden(load: Load) -> None:
    """What a load expects of its weight streams is what the golden model makes of them."""
    config, first = load.config, 0
    tiles, headers = iter(load.tiles), iter(load.headers)
    stream = load.stream()
    for job in load.jobs:
        own = stream[first : first + BEAT_BYTES * job["beats"]]
        first += len(own)
        if job.get("cache"):
            next(tiles)
            continue
        slices, count = job["slices"], job["tiles"]
        weights, parts = unpack_stream(own, slices, count, config)
        by_tile = weights.reshape(slices, config.port_rows, count, config.width)
        for part in by_tile.transpose(0, 2, 1, 3).reshape(-1, config.port_rows, config.width):
            expected = np.maximum(part, -127).view(np.uint8).tolist()
            assert next(tiles) == expected
        for number in range(slices):
            fields = np.frombuffer(next(headers), np.uint8).reshape(config.port_rows, 8)
            assert fields[:, :4].copy().view("<i4")[:, 0].tolist() == parts.bias[number].tolist()


def attend(
    config: AcceleratorConfig, spans: list[tuple[int, int]], *, head_dim: int, stalls: bool
) -> Cycles:
    """An ATTEND of sequences of (position, tokens) leaves the operand memory as the golden machine
    does.
    """
    scenario = _scenario(config, spans, head_dim=head_dim, stalls=stalls)
    unit, rig = _unit("attention", config)
    run_scenarios(config, [scenario], (unit, rig))
    return unit.cycles


def _scenario(
    config: AcceleratorConfig, spans: list[tuple[int, int]], *, head_dim: int, stalls: bool
) -> Scenario:
    rng = np.random.default_rng(salted(51))
    width, segment = config.width, min(config.width, head_dim)
    blocks, beats = max(1, head_dim // width), segment // BEAT_BYTES
    most = max(position + tokens for position, tokens in spans)
    block_stride = most * beats
    size = blocks * block_stride  # of K, and of V
    sequences, first_row = [], 0
    for number, (position, tokens) in enumerate(spans):
        sequences.append(Sequence(2 * size * number, position, tokens, first_row))
        first_row += tokens
    step = Step(tuple(sequences))
    dram = rng.integers(-127, 128, 2 * size * len(spans) * BEAT_BYTES, np.int8)
    machine = Machine(config, dram.view(np.uint8))
    machine.activations[:] = rng.integers(0, 256, machine.activations.shape, np.uint8)
    machine.exponents[:] = rng.integers(0, 8, machine.exponents.shape, np.uint8)
    memory, exponents = machine.activations.copy(), machine.exponents.astype(np.int64)
    command = Command(
        Opcode.ATTEND,
        {
            **{"query": 5, "query_stride": blocks + 1, "blocks": blocks, "segment_beats": beats},
            **{"key_offset": 0, "value_offset": size, "block_stride": block_stride},
            **{"score_multiplier": 1000, "score_shift": 15, "output_multiplier": 50000},
            **{"output_shift": 8 if segment == width else 10, "causal": 1, "heads": 1},
        },
    )
    machine.execute(command, step)
    tiles = []
    for entry in sequences:
        keys = entry.position + entry.tokens
        count = -(-keys // width)
        order = [(0, 0)]
        for block in range(1, count):
            order += [(0, block), (1, block - 1)]
        for which, block in (*order, (1, count - 1)):
            for part in range(blocks):
                start = (entry.kv_base + which * size + part * block_stride) * BEAT_BYTES
                rows = dram[start : start + keys * segment].reshape(keys, segment)
                tile = rng.integers(-127, 128, (width, width), np.int8)
                own = rows[block * width : (block + 1) * width]
                tile[: len(own), :segment] = own
                tiles.append((None, tile))
    return Scenario(
        name=f"{spans}, head dim {head_dim}",
        memory=memory,
        expected=machine.activations,
        exponents=exponents,
        expected_exponents=machine.exponents.astype(np.int64),
        tiles=tiles,
        commands=[command],
        step=step,
        stalls=stalls,
    )


def move(
    config: AcceleratorConfig, commands: list[Command], step: Step, *, stall: float = 0.0
) -> Cycles:
    """The DMA controller leaves memories and DRAM as the golden machine does."""
    unit, rig = _unit("dma", config)
    check_commands(config, commands, step, (unit, rig), stall=stall, seed=53)
    return unit.cycles
