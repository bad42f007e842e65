# SPDX-License-Identifier: Apache-2.0
"""The array with its real lanes: MATMUL against scalar models, with and without stalls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hw_tests.epilogues import finished, written_word
from hw_tests.marks import slow
from hw_tests.rtl_gen.array.array_bench import (
    SEED,
    SHORT_STEPS,
    TABLE,
    TINY,
    WIDE,
    Scenario,
    run_scenarios,
)
from hw_tests.seeds import salted
from meadow.spec.commands import Command, Opcode, RowSet
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from meadow.spec.epilogue import EPILOGUES, MatmulOutput
from meadow.spec.numerics import LARGEST_EXPONENT, requantise
from meadow.spec.step import Sequence, Step

# One token keeps one lane busy, whatever their number: further lanes only see the same bundles
# later. Tile buffer, issue and step generation, which set the pace, are those of zcu102.
_STREAM = dataclasses.replace(
    CONFIGURATIONS["zcu102-paper"],
    lanes=1,
    groups=1,
    activation_words=1024,
    max_context=512,
    sequences=1,
    max_head_dim=64,
    norm_channels=512,
)
_OPERAND, _OPERAND_STRIDE, _POST_SHIFT = 700, 9, 15


def _matmul(
    config: AcceleratorConfig,
    output: MatmulOutput,
    rows: int,
    slices: int,
    tiles: int,
    *,
    seed: int,
    stalls: bool,
    repeats: int = 1,
    exponent: int = 0,
) -> Scenario:
    """`repeats` MATMULs into different places; exponent: the command's."""
    rng = np.random.default_rng(salted(seed))
    width = config.width
    memory = rng.integers(0, 256, (1024, width), np.uint8)
    exponents = rng.integers(0, LARGEST_EXPONENT + 1, 1024)
    exponents[3:6] = 0, LARGEST_EXPONENT, LARGEST_EXPONENT
    memory[5] = 0  # a word of zeros
    epilogue = EPILOGUES[output]
    operand_words = 4 if output == MatmulOutput.ROTATE8 else 0
    words = slices * epilogue.element_bytes
    stride, out_stride = tiles + 1, words + 1
    channels = slices * width - 3
    feed, commands = [], []
    expected, expected_exponents = memory.copy(), exponents.copy()
    want: list[tuple[int, ...]] = []
    for repeat in range(repeats):
        source, destination = 3, 200 + repeat * out_stride * rows
        weights = rng.integers(-127, 128, (slices * width, tiles * width))
        bias = rng.integers(-(10**5), 10**5, slices * width)
        multiplier = rng.integers(1, 1 << 16, slices * width)
        shift = rng.integers(20, 26, slices * width) + (16 - epilogue.bits)
        for n in range(slices):
            part = slice(n * width, (n + 1) * width)
            for k in range(tiles):
                tile = weights[part, k * width : (k + 1) * width].astype(np.int8)
                feed.append(((bias[part], multiplier[part], shift[part]) if k == 0 else None, tile))
        words_of_x = np.arange(source, source + rows * stride).reshape(rows, stride)[:, :tiles]
        own = np.full_like(words_of_x, exponent) if exponent else exponents[words_of_x]
        x = memory[words_of_x].view(np.int8).astype(np.int64) << own[..., None]
        total = x.reshape(rows, -1) @ weights.T + bias
        for row, values in enumerate(total.tolist()):
            result = [
                requantise(v, int(a), int(s), epilogue.bits)
                for v, a, s in zip(values, multiplier, shift, strict=True)
            ]
            place = slice(destination + row * out_stride, destination + row * out_stride + words)
            target = expected[place]
            if epilogue.relu:
                result = [max(0, v) for v in result]
            second = target.reshape(-1).view("<i2")
            if epilogue.operand:
                many = operand_words or 2 * slices
                first = expected[_OPERAND + row * _OPERAND_STRIDE :][:many].reshape(-1)
                second = np.resize(first.view("<i2"), slices * width)
            expected_exponents[place] = 0
            if epilogue.bits == 8:
                target[:] = np.array(result, np.int8).view(np.uint8).reshape(words, width)
                continue
            result = finished(
                epilogue.mode, result, second=second.tolist(), table=TABLE, shift=_POST_SHIFT
            )
            if epilogue.halves:
                made = [
                    written_word(result[i : i + width]) for i in range(0, slices * width, width)
                ]
                expected_exponents[place] = [of_word for _, of_word in made]
                target[:] = np.array([elements for elements, _ in made], np.int8).view(np.uint8)
                continue
            target[:] = np.array(result, "<i2").view(np.uint8).reshape(words, width)
            if epilogue.arg_max:
                half = width // 2
                for i in range(words):
                    elements = max(0, min(half, channels - i * half))
                    want.append((row, 70 + i * half, elements, int(i == 0)))
        values = dict(output=output, row_set=RowSet.CHUNK, tiles=tiles, slices=slices)
        values |= dict(source=source, source_stride=stride)
        values |= dict(destination=destination, destination_stride=out_stride)
        values |= dict(first_channel=70, channels=channels, restart=1, post_shift=_POST_SHIFT)
        values |= dict(operand=_OPERAND, operand_stride=_OPERAND_STRIDE)
        values |= dict(operand_words=operand_words, exponent=exponent)
        commands.append(Command(Opcode.MATMUL, values))
    return Scenario(
        name=f"{output.name} {rows} rows, {slices} slices, {tiles} tiles, exponent {exponent}, "
        f"seed {seed}, stalls {stalls}",
        memory=memory,
        expected=expected,
        exponents=exponents,
        expected_exponents=expected_exponents,
        tiles=feed,
        commands=commands,
        step=Step((Sequence(0, 0, rows),)),
        stalls=stalls,
        logits=want,
    )


def _head_rows(config: AcceleratorConfig) -> Scenario:
    """A MATMUL over one row for each of three sequences."""
    rng = np.random.default_rng(salted(SEED))
    width = config.width
    memory = rng.integers(0, 256, (64, width), np.uint8)
    exponents = rng.integers(0, 3, 64)
    weights = rng.integers(-127, 128, (width, width), np.int8)
    header = (np.zeros(width, int), np.full(width, 1 << 10), np.full(width, 18))
    x = memory[:3].view(np.int8).astype(int) << exponents[:3, None]
    total = x @ weights.T.astype(int)
    result = [[requantise(v, 1 << 10, 18, 8) for v in row] for row in total.tolist()]
    expected, expected_exponents = memory.copy(), exponents.copy()
    expected_exponents[32:38:2] = 0
    expected[32:38:2] = np.array(result, np.int8).view(np.uint8)
    values = dict(source_stride=1, tiles=1, slices=1, destination=32, destination_stride=2)
    return Scenario(
        name="head rows",
        memory=memory,
        expected=expected,
        exponents=exponents,
        expected_exponents=expected_exponents,
        tiles=[(header, weights)],
        commands=[Command(Opcode.MATMUL, {**values, "row_set": RowSet.HEAD})],
        step=Step((Sequence(0, 4, 2), Sequence(0, 0, 3, 2), Sequence(0, 9, 1, 5))),
        stalls=False,
    )


@pytest.mark.slow
def test_matmul_tiny() -> None:
    scenarios = [_head_rows(TINY), _matmul(TINY, MatmulOutput.INT8, 1, 4, 1, seed=3, stalls=True)]
    for stalls in (False, True):
        for seed, output in enumerate(MatmulOutput):
            repeats = 2 if output == MatmulOutput.GATE else 1
            scenario = _matmul(TINY, output, 5, 3, 2, seed=seed, stalls=stalls, repeats=repeats)
            scenarios.append(scenario)
        for exponent in (1, LARGEST_EXPONENT):
            shape = dict(seed=40 + exponent, stalls=stalls, exponent=exponent)
            scenarios.append(_matmul(TINY, MatmulOutput.RESIDUAL16, 3, 1, 3, **shape))
    run_scenarios(TINY, scenarios)


@pytest.mark.parametrize("config", [slow(WIDE), SHORT_STEPS], ids=["wide", "short_steps"])
def test_matmul_shapes(config: AcceleratorConfig) -> None:
    shapes = [(9, 2, 2, True), (1, 2, 3, False), (5, 3, 1, True)]
    run_scenarios(
        config,
        [
            _matmul(config, MatmulOutput.RESIDUAL16, *shape, seed=12, stalls=stalls)
            for *shape, stalls in shapes
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "scenarios"),
    [
        slow(TINY, [(10, 3, 3, MatmulOutput.INT8), (8, 4, 3, MatmulOutput.RESIDUAL16)]),
    ],
    ids=["tiny"],
)
def test_issue_has_no_gaps(config: AcceleratorConfig, scenarios: list[tuple]) -> None:
    for rows, slices, tiles, output in scenarios:
        scenario = _matmul(config, output, rows, slices, tiles, seed=13, stalls=False, repeats=2)
        run_scenarios(config, [scenario])
        issued = sum(scenario.busy)
        assert issued == 2 * slices * tiles * -(-rows // config.lanes) * config.tile_cycles
        assert issued >= 0.99 * scenario.span, f"{scenario.name}: {issued} of {scenario.span}"


@pytest.mark.slow
def test_one_token_streams_as_fast_as_the_decoders() -> None:
    """A single token is bound by the tiles that arrive: at most ports * decoder_elements weights
    per cycle.
    """
    slices, tiles = 2, 16
    scenario = _matmul(_STREAM, MatmulOutput.INT8, 1, slices, tiles, seed=14, stalls=False)
    run_scenarios(_STREAM, [scenario])
    assert sum(scenario.busy) == slices * tiles * _STREAM.tile_cycles
    weights = slices * tiles * _STREAM.width**2
    assert weights >= 120 * scenario.span, f"{weights / scenario.span:.1f} weights per cycle"
