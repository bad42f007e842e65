# SPDX-License-Identifier: Apache-2.0
"""Drain modes: which one an epilogue has, and what they differ in."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal

from hw_tests.streams import simulate
from meadow.spec.epilogue import EPILOGUES, Epilogue, MatmulOutput, ResultMode
from rtl_gen.interfaces.epilogue import drain_mode, drain_modes_with, is_one_of
from rtl_gen.interfaces.lane import DrainMode
from rtl_gen.interfaces.result import RESULT_MODE


@pytest.mark.parametrize(
    ("output", "mode"),
    [
        (MatmulOutput.INT8, DrainMode.INT8),
        (MatmulOutput.RELU, DrainMode.RELU16),
        *(
            (output, DrainMode.INT16)
            for output in MatmulOutput
            if output not in (MatmulOutput.INT8, MatmulOutput.RELU)
        ),
    ],
)
def test_drain_mode_of_each_output(output: MatmulOutput, mode: DrainMode) -> None:
    assert drain_mode(EPILOGUES[output]) == mode


def test_an_epilogue_that_the_lanes_cannot_compute_is_refused() -> None:
    record = Epilogue(bits=8, relu=True, element_bytes=1, mode=ResultMode.WRITE)
    with pytest.raises(ValueError, match="no drain mode of 8 bits with relu True"):
        drain_mode(record)


def test_every_drain_mode_is_described() -> None:
    assert drain_modes_with(lambda drain: True) == tuple(DrainMode)


@pytest.mark.parametrize("holds", ["parameters", "scores", "outputs", "wide", "relu"])
def test_one_of_some_modes_is_found_in_hardware(holds: str) -> None:
    modes = drain_modes_with(lambda drain: getattr(drain, holds))
    assert 0 < len(modes) < len(DrainMode)
    m, mode, found = Module(), Signal(DrainMode), Signal()
    m.d.comb += found.eq(is_one_of(mode, modes))
    seen = []

    async def process(ctx):
        for value in DrainMode:
            ctx.set(mode, value)
            if ctx.get(found):
                seen.append(value)

    simulate(m, process)
    assert tuple(seen) == modes


def test_the_shape_of_a_result_mode_has_its_names() -> None:
    assert {mode.name: mode.value for mode in RESULT_MODE} == {
        mode.name: mode.value for mode in ResultMode
    }
    assert len(Signal(RESULT_MODE)) == max(ResultMode).bit_length()
