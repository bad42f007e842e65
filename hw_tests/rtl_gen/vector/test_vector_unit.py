# SPDX-License-Identifier: Apache-2.0
"""NORM and VECTOR commands with the real activation memory, against numerics.layer_norm_row."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import layer_norm_row
from meadow.spec.step import Sequence, Step
from rtl_gen.vector.activation_memory import ActivationMemory
from rtl_gen.vector.norm import NormUnit
from rtl_gen.vector.vector_unit import VectorUnit


def _config(width: int, norm_channels: int = 64, sequences: int = 4) -> AcceleratorConfig:
    return AcceleratorConfig(
        width=width,
        lanes=2,
        rows=2,
        groups=8,
        ports=1,
        activation_words=1024,
        max_context=4 * width,
        sequences=sequences,
        max_head_dim=16,
        norm_channels=norm_channels,
        decoder_elements=16,
        dictionary_entries=256,
    )


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


def _pack(values: list[int], bits: int) -> int:
    return sum((value & ((1 << bits) - 1)) << (bits * i) for i, value in enumerate(values))


def _unpack(word: int, bits: int, count: int) -> list[int]:
    return [_signed(word >> (bits * i), bits) for i in range(count)]


class _Bench:
    def __init__(self, config: AcceleratorConfig, rng: random.Random) -> None:
        self.config, self.rng = config, rng
        self.memory = ActivationMemory(config=config)
        self.unit = VectorUnit(config=config)
        self.module = m = Module()
        m.submodules.memory, m.submodules.unit = self.memory, self.unit
        connect(m, self.unit.o_read, self.memory.i_vector)
        connect(m, self.unit.o_write, self.memory.i_vector_write)
        m.d.comb += self.unit.i_read.eq(self.memory.o_vector)
        self.content = [rng.getrandbits(8 * config.width) for _ in range(1024)]
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
        """Execute commands one after another; the memory's other clients stall reads with probability `stall`, writes
        with `write_stall`, or `stall` if not given."""
        unit, memory = self.unit, self.memory
        table = candidates or [(0, 0)]

        blocked = stall if write_stall is None else write_stall

        async def interfere(ctx):
            while True:
                ctx.set(memory.i_operand.valid, self.rng.random() < stall)
                ctx.set(memory.i_writer_write.valid, self.rng.random() < blocked)  # with mask 0
                await ctx.tick()

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
                assert ctx.get(unit.i_norm.ready)
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
                # What follows `busy` reads new data: the last write is at most in the memory's input register.
                await ctx.tick()
            for address in range(len(self.content)):
                self.content[address] = sum(
                    ctx.get(bank.data[address]) << (128 * index)
                    for index, bank in enumerate(memory.banks)
                )

        simulator = Simulator(self.module)
        simulator.add_clock(1e-8)
        simulator.add_testbench(interfere, background=True)
        simulator.add_testbench(answer, background=True)
        simulator.add_testbench(process)
        simulator.run()


def _rows(rng: random.Random, rows: int, channels: int, padded: int) -> list[list[int]]:
    kinds = [
        lambda: rng.randrange(-32768, 32768),
        lambda: -32768,
        lambda: 0,
        lambda: rng.choice([-32768, 32767]),
        lambda: rng.randrange(-40, 41),
        lambda: 32767,
    ]
    return [
        [kinds[row % len(kinds)]() for _ in range(channels)] + [0] * (padded - channels)
        for row in range(rows)
    ]


def _norm_case(
    config: AcceleratorConfig,
    rng: random.Random,
    step: Step,
    row_set: RowSet,
    channels: int,
    *,
    rms: bool,
    fixed: int = 0,
    stall: float = 0.0,
    write_stall: float | None = None,
) -> _Bench:
    """One NORM command with random parameters, checked against numerics; the rest of the memory must not change."""
    width = config.width
    padded = -(-channels // width) * width
    words = 2 * padded // width
    epsilon = rng.choice([1, channels * channels * 17, (1 << 60) - 1])
    mean_shift = rng.randrange(12, 19)
    fields = {
        "source": 16,
        "source_stride": words + rng.randrange(3),
        "destination": 600,
        "destination_stride": words // 2 + rng.randrange(3),
        "words": words,
        "channels": channels,
        "epsilon": epsilon,
        "mean_multiplier": round(16 / channels * 2**mean_shift) & 0xFFFF,
        "mean_shift": mean_shift,
        "norm_shift": rng.choice([-128, -3, 0, 5, 127, -14]),
        "offset_shift": rng.randrange(17),
        "output_shift": rng.choice([1, 9, 16, 32]),
        "rms": int(rms),
        "row_set": int(row_set),
        "rows": fixed,
    }
    gain = [rng.choice([-32768, 32767, rng.randrange(-32768, 32768)]) for _ in range(channels)]
    offset = [rng.randrange(-32768, 32768) for _ in range(channels)]
    gain += [0] * (padded - channels)
    offset += [0] * (padded - channels)
    pairs = [gain[i] & 0xFFFF | (offset[i] & 0xFFFF) << 16 for i in range(padded)]
    parameters = [_pack(pairs[i : i + width // 4], 32) for i in range(0, padded, width // 4)]
    bench = _Bench(config, rng)
    count = fixed if row_set == RowSet.FIXED else step.rows
    rows = _rows(rng, count, channels, padded)
    for number, row in enumerate(rows):
        for k in range(words):
            bench.content[16 + number * fields["source_stride"] + k] = _pack(
                row[k * width // 2 : (k + 1) * width // 2], 16
            )
    expected = list(bench.content)
    chosen = rows if row_set != RowSet.HEAD else [rows[i] for i in step.head_rows]
    for number, row in enumerate(chosen):
        result = layer_norm_row(
            row,
            gain,
            offset,
            channels=channels,
            epsilon=epsilon,
            mean_multiplier=fields["mean_multiplier"],
            mean_shift=mean_shift,
            norm_shift=fields["norm_shift"],
            offset_shift=fields["offset_shift"],
            output_shift=fields["output_shift"],
            rms=rms,
        )
        for k in range(words // 2):
            expected[600 + number * fields["destination_stride"] + k] = _pack(
                result[k * width : (k + 1) * width], 8
            )
    bench.run(
        [Command(Opcode.NORM, fields)],
        step,
        parameters=parameters,
        stall=stall,
        write_stall=write_stall,
    )
    assert bench.content == expected, fields
    return bench


_STEP = Step(
    (
        Sequence(0, 0, 5, 0),
        Sequence(0, 7, 1, 5),
        Sequence(0, 3, 6, 6),
    )
)


@pytest.mark.parametrize(("width", "channels"), [(16, 16), (16, 41), (16, 64), (32, 50)])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_norm_of_a_chunk(width: int, channels: int, stall: float) -> None:
    seed = f"{width} {channels} {stall}"
    print(f"seed {seed}")
    rng = random.Random(seed)
    config = _config(width)
    for rms in (False, True):
        _norm_case(config, rng, _STEP, RowSet.CHUNK, channels, rms=rms, stall=stall)


def test_norm_with_a_nearly_blocked_write_port() -> None:
    """Row buffer and output queue fill up and must hold the reads back."""
    config = _config(16)
    step = Step((Sequence(0, 0, 30, 0),))
    _norm_case(
        config, random.Random(5), step, RowSet.CHUNK, 64, rms=False, stall=0.0, write_stall=0.9
    )


@pytest.mark.parametrize("head_all", [False, True])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_norm_of_head_rows(head_all: bool, stall: float) -> None:
    step = Step(_STEP.sequences, head_all=head_all)
    _norm_case(_config(16), random.Random(3), step, RowSet.HEAD, 30, rms=False, stall=stall)


def test_norm_with_one_table_entry_and_fixed_rows() -> None:
    step = Step((Sequence(0, 0, 3, 0),))
    config = _config(16, sequences=1)
    _norm_case(config, random.Random(1), step, RowSet.HEAD, 16, rms=False)
    _norm_case(config, random.Random(2), step, RowSet.FIXED, 16, rms=False, fixed=7)
    _norm_case(config, random.Random(2), step, RowSet.FIXED, 16, rms=False, fixed=0)


def test_norm_reads_a_word_per_cycle() -> None:
    config = _config(16, norm_channels=128)
    cycles: list[int] = []
    for rows in (1, 21):
        step = Step((Sequence(0, 0, rows, 0),))
        bench = _norm_case(config, random.Random(4), step, RowSet.CHUNK, 128, rms=False)
        cycles += bench.busy_cycles
    words = 16
    assert cycles[0] == 2 * words + NormUnit.fixed_cycles(config)
    # Two more cycles are spent once, between the first rows.
    assert cycles[1] - cycles[0] <= 20 * words + 2


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("head_all", [False, True])
def test_arg_max_candidates_and_a_norm_after_them(stall: float, head_all: bool) -> None:
    rng = random.Random(9)
    config = _config(32)
    step = Step(_STEP.sequences, head_all=head_all)
    candidates = [(rng.randrange(-32768, 32768), rng.randrange(1 << 20)) for _ in range(12)]
    bench = _Bench(config, rng)
    expected = list(bench.content)
    for row in range(len(step.head_rows)):
        value, index = candidates[row]
        expected[100 + 3 * row] = index | (value & 0xFFFFFFFF) << 32
    fields = {"destination": 100, "destination_stride": 3, "row_set": int(RowSet.HEAD)}
    empty = {"destination": 100, "row_set": int(RowSet.FIXED), "rows": 0}
    bench.run(
        [Command(Opcode.VECTOR, fields), Command(Opcode.VECTOR, empty)],
        step,
        candidates=candidates,
        stall=stall,
    )
    assert bench.content == expected
