# SPDX-License-Identifier: Apache-2.0
"""NORM commands with the real activation memory, against numerics.layer_norm_row and the words with
exponents that are made of it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from hw_tests.epilogues import written_word
from hw_tests.marks import slow
from hw_tests.rtl_gen.vector.vector_bench import STEP, VectorBench, pack, small_config
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import layer_norm_row
from meadow.spec.step import Sequence, Step
from rtl_gen.norm.norm import NormUnit


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
    residual: bool = False,
    stall: float = 0.0,
    write_stall: float | None = None,
    chosen: Mapping[str, int] | None = None,
    gain: list[int] | None = None,
) -> VectorBench:
    """One NORM command with random parameters but those that are `chosen`, checked against
    numerics; the rest of the memory must not change. gain: of the channels, random if not given;
    the offsets are 0 with it.
    """
    width = config.width
    padded = -(-channels // width) * width
    words = 2 * padded // width
    mean_shift = rng.randrange(12, 19)
    fields = {
        "source": 16,
        "source_stride": words + rng.randrange(3),
        "destination": 600,
        "destination_stride": words // 2 + rng.randrange(3),
        "words": words,
        "channels": channels,
        "epsilon": rng.choice([1, channels * channels * 17, (1 << 60) - 1]),
        "mean_multiplier": round(16 / channels * 2**mean_shift) & 0xFFFF,
        "mean_shift": mean_shift,
        "norm_shift": rng.choice([-128, -3, 0, 5, 127, -14]),
        "offset_shift": rng.randrange(17),
        "output_shift": rng.choice([1, 9, 16, 32]),
        "rms": int(rms),
        "row_set": int(row_set),
        "rows": fixed,
        "residual": int(residual),
        "residual_shift": rng.choice([1, 4, 16, 32]) if residual else 0,
    } | dict(chosen or {})
    drawn = [rng.choice([-32768, 32767, rng.randrange(-32768, 32768)]) for _ in range(channels)]
    offset = [rng.randrange(-32768, 32768) * (gain is None) for _ in range(channels)]
    gain = (gain or drawn) + [0] * (padded - channels)
    offset += [0] * (padded - channels)
    pairs = [gain[i] & 0xFFFF | (offset[i] & 0xFFFF) << 16 for i in range(padded)]
    parameters = [pack(pairs[i : i + width // 4], 32) for i in range(0, padded, width // 4)]
    bench = VectorBench(config, rng)
    count = fixed if row_set == RowSet.FIXED else step.rows
    rows = _rows(rng, count, channels, padded)
    for number, row in enumerate(rows):
        for k in range(words):
            bench.content[16 + number * fields["source_stride"] + k] = pack(
                row[k * width // 2 : (k + 1) * width // 2], 16
            )
    expected, exponents = list(bench.content), {}
    normalised = rows if row_set != RowSet.HEAD else [rows[i] for i in step.head_rows]
    for number, row in enumerate(normalised):
        results = [
            layer_norm_row(
                row,
                gain,
                offset,
                channels=channels,
                epsilon=fields["epsilon"],
                mean_multiplier=fields["mean_multiplier"],
                mean_shift=fields["mean_shift"],
                norm_shift=fields["norm_shift"],
                offset_shift=fields["offset_shift"],
                output_shift=fields[shift],
                rms=rms,
            )
            for shift in ("output_shift", "residual_shift")[: 1 + residual]
        ]
        for k in range(words // 2):
            values, exponent = written_word(results[0][k * width : (k + 1) * width])
            address = 600 + number * fields["destination_stride"] + k
            expected[address], exponents[address] = pack(values, 8), exponent
        for k in range(words if residual else 0):
            address = 16 + number * fields["source_stride"] + k
            expected[address] = pack(results[1][k * width // 2 : (k + 1) * width // 2], 16)
            exponents[address] = 0
    bench.run(
        [Command(Opcode.NORM, fields)],
        step,
        parameters=parameters,
        stall=stall,
        write_stall=write_stall,
    )
    assert bench.content == expected, fields
    assert bench.exponents == exponents, fields
    return bench


@pytest.mark.parametrize(("width", "channels"), [(16, 16), (16, 41), slow(16, 64), slow(32, 50)])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_norm_of_a_chunk(width: int, channels: int, stall: float) -> None:
    seed = f"{width} {channels} {stall}"
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    config = small_config(width)
    for rms in (False, True):
        _norm_case(config, rng, STEP, RowSet.CHUNK, channels, rms=rms, stall=stall)


@pytest.mark.parametrize(("width", "channels"), [(16, 50), slow(32, 50)])
@pytest.mark.parametrize(("stall", "write_stall"), [(0.0, 0.0), (0.5, 0.0), (0.3, 0.6)])
def test_norm_that_replaces_the_residual(
    width: int, channels: int, stall: float, write_stall: float
) -> None:
    seed = f"residual {width} {channels} {stall} {write_stall}"
    print(f"seed {seed}")
    rng = random.Random(salted(seed))
    _norm_case(
        small_config(width),
        rng,
        STEP,
        rng.choice([RowSet.CHUNK, RowSet.FIXED]),
        channels,
        rms=rng.random() < 0.5,
        fixed=9,
        residual=True,
        stall=stall,
        write_stall=write_stall,
    )


@pytest.mark.parametrize("residual", [False, True])
def test_norm_to_words_of_every_exponent(residual: bool) -> None:
    """The same rows in finer and finer steps. One channel is far larger than the others; its word
    alone has a larger exponent. A word of gain 0 is a word of zeros.
    """
    gain = [256] * 16 + [0] * 16 + [256] * 5 + [-32768] + [256] * 10
    met = set()
    for shift in range(17, 7, -1):
        chosen = {"norm_shift": 2, "output_shift": shift, "epsilon": 1, "destination_stride": 3}
        chosen |= {"mean_multiplier": (1 << 16) // 3, "mean_shift": 16}
        bench = _norm_case(
            small_config(16),
            random.Random(salted(17)),
            STEP,
            RowSet.FIXED,
            48,
            rms=False,
            fixed=4,
            residual=residual,
            chosen=chosen | {"residual_shift": shift} if residual else chosen,
            gain=gain,
        )
        # Row 3: every channel is about as far from the mean as any other.
        even, zeros, outlier = (bench.exponents[609 + k] for k in range(3))
        assert zeros == 0 < outlier
        assert even < outlier
        assert bench.content[610] == 0
        met |= {even, outlier}
    assert met == set(range(8))


@pytest.mark.slow
def test_norm_with_a_nearly_blocked_write_port() -> None:
    """Row buffer and output queue fill up and must hold the reads back."""
    config = small_config(16)
    step = Step((Sequence(0, 0, 30, 0),))
    for residual in (False, True):
        _norm_case(
            config,
            random.Random(salted(5)),
            step,
            RowSet.CHUNK,
            64,
            rms=False,
            residual=residual,
            write_stall=0.9,
        )


@pytest.mark.parametrize("head_all", [False, True])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_norm_of_head_rows(head_all: bool, stall: float) -> None:
    step = Step(STEP.sequences, head_all=head_all)
    _norm_case(
        small_config(16), random.Random(salted(3)), step, RowSet.HEAD, 30, rms=False, stall=stall
    )


def test_norm_with_one_table_entry_and_fixed_rows() -> None:
    step = Step((Sequence(0, 0, 3, 0),))
    config = small_config(16, sequences=1)
    _norm_case(config, random.Random(salted(1)), step, RowSet.HEAD, 16, rms=False)
    _norm_case(config, random.Random(salted(2)), step, RowSet.FIXED, 16, rms=False, fixed=7)
    _norm_case(config, random.Random(salted(2)), step, RowSet.FIXED, 16, rms=False, fixed=0)


@pytest.mark.parametrize(("width", "norm_lanes"), [(16, 4), (16, 2), slow(16, 1), slow(64, 16)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_norm_with_fewer_lanes_than_elements(
    width: int, norm_lanes: int, residual: bool, stall: float
) -> None:
    config = small_config(width, norm_channels=4 * width, norm_lanes=norm_lanes)
    random_step = Step((Sequence(0, 0, 9, 0),))
    for channels in (width, 3 * width - 5):
        _norm_case(
            config,
            random.Random(salted(channels)),
            random_step,
            RowSet.CHUNK,
            channels,
            rms=channels == width,
            residual=residual,
            stall=stall,
        )


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("channels", "norm_lanes"), [(16, 8), slow(128, 8), (16, 4), slow(128, 4), slow(128, 1)]
)
def test_norm_cycles(channels: int, norm_lanes: int, residual: bool) -> None:
    """One row alone, and one word per cycle or turns: read words, or with `residual` and one turn
    written ones.
    """
    config = small_config(16, norm_channels=128, norm_lanes=norm_lanes)
    words, turns = channels // 8, 8 // norm_lanes
    pauses = residual and turns == 1
    written = words + words // 2 if pauses else words * turns
    cycles: list[int] = []
    for rows in (1, 21):
        step = Step((Sequence(0, 0, rows, 0),))
        bench = _norm_case(
            config,
            random.Random(salted(4)),
            step,
            RowSet.CHUNK,
            channels,
            rms=False,
            residual=residual,
        )
        cycles += bench.busy_cycles
    assert cycles[0] == words + written + NormUnit.fixed_cycles(config) - pauses
    if words == 2:
        # Rows of two words wait for their scales, ROWS_AHEAD at a time.
        assert cycles[1] - cycles[0] <= 20 * max(5, 2 * turns)
    else:
        # Two more cycles are spent once, between the first rows.
        assert cycles[1] - cycles[0] <= 20 * written + 2
