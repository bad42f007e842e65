# SPDX-License-Identifier: Apache-2.0
"""-128 in weight streams of every codec and in a K/V cache: the chip multiplies as golden does."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.library import DramSettings
from firmware.registers import Registers
from hw_tests.cosim.chip_bench import WatchedDevice
from hw_tests.rtl_gen.decoder.stream_packer import pack_dictionary, pack_raw, pack_rice
from hw_tests.seeds import salted
from meadow.golden.machine.machine import Machine
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.layout import pack_fields
from meadow.spec.step import Sequence, Step
from meadow.spec.streams import HEADER_BYTES, HEADER_FIELDS, LITERAL

pytestmark = pytest.mark.sim

CONFIG = named_config("tiny")
_INPUT, _STREAMS, _CACHE, _OUTPUT, _BEATS = 256, 512, 2048, 3072, 4096
_TOKENS = 4
_STEP = Step((Sequence(_CACHE, 20, _TOKENS),))


def _streams() -> list[bytes]:
    """One tile, half of it -128, raw and in either code."""
    parameters = pack_fields(HEADER_FIELDS, {"bias": 5, "multiplier": 40000, "shift": 20}, "header")
    headers = [parameters.to_bytes(HEADER_BYTES, "little") * CONFIG.width]
    weights = bytes([0x80, 0x81, 0x7F, 0x80]) * (CONFIG.width**2 // 4)
    table = [bytes([0x80]), bytes([0x81]), bytes([0x7F])]
    return [
        pack_raw([weights], headers),
        pack_dictionary([weights], headers, table=table, widths=[2, 2, 2, 2]),
        pack_rice([weights], headers, widths=[LITERAL] * 4),
    ]


def _program(streams: list[bytes]) -> list[Command]:
    """Rows of x through a matrix of each codec and through attention, and all results to DRAM."""
    rows = dict(row_set=RowSet.FIXED, rows=_TOKENS)
    load = dict(offset=_INPUT, destination_stride=1, row_beats=1) | rows
    commands = [Command(Opcode.LOAD, load | dict(destination=place)) for place in (0, 90)]
    for number, stream in enumerate(streams):
        fields = dict(tiles=1, slices=1, row_set=RowSet.CHUNK, source=0, source_stride=1)
        fields |= dict(destination=10 + 10 * number, destination_stride=2)
        fields |= dict(output=MatmulOutput.LOGITS16, channels=CONFIG.width)
        fields |= dict(offset0=_STREAMS + 128 * number, beats0=len(stream) // BEAT_BYTES)
        commands.append(Command(Opcode.MATMUL, fields))
    attend = dict(query=90, query_stride=1, blocks=1, segment_beats=1, heads=1, causal=1)
    attend |= dict(key_offset=0, value_offset=256, score_multiplier=50000, score_shift=24)
    commands.append(Command(Opcode.ATTEND, attend | dict(output_multiplier=60000, output_shift=8)))
    store = dict(source=0, source_stride=1, segments=1, segment_beats=1, offset=_OUTPUT)
    store |= dict(row_set=RowSet.FIXED, rows=100)
    return [*commands, Command(Opcode.STORE, store), Command(Opcode.END)]


def test_the_chip_takes_minus_128_as_the_golden_machine_does() -> None:
    random = np.random.default_rng(salted(4))
    memory = np.zeros(_BEATS * BEAT_BYTES, np.uint8)
    streams = _streams()
    program = _program(streams)
    contents = {
        0: b"".join(command.encode() for command in program),
        _INPUT: random.choice([0x80, 0x7F, 1, 0xFF], _TOKENS * CONFIG.width).astype("u1").tobytes(),
        _CACHE: random.choice([0x80, 0x81, 0x7F, 3], 512 * BEAT_BYTES).astype("u1").tobytes(),
    }
    contents |= {_STREAMS + 128 * i: stream for i, stream in enumerate(streams)}
    for place, content in contents.items():
        memory[place * BEAT_BYTES :][: len(content)] = np.frombuffer(content, np.uint8)
    machine = Machine(CONFIG, memory.copy())
    assert machine.run_program(0, len(program), _STEP) == len(program)

    settings = DramSettings(stalls=30, seed=salted(5))
    with WatchedDevice(CONFIG, memory.size, settings=settings) as device:
        device.memory[:] = memory
        registers = Registers(device, CONFIG)
        registers.set_window()
        registers.set_step(_STEP)
        registers.run_program(0, len(program))
        assert np.array_equal(device.memory, machine.dram)
    results = machine.dram[_OUTPUT * BEAT_BYTES :].reshape(-1, CONFIG.width)
    assert (results[10:50].any(axis=1).sum(), results[90:94].any(axis=1).all()) == (24, True)
