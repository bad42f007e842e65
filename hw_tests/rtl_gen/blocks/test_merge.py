# SPDX-License-Identifier: Apache-2.0
"""StreamMerge keeps the order of each input and loses nothing under random stalls."""

from __future__ import annotations

import pytest

from hw_tests.streams import STALLS, Sink, Source, Stalls, simulate
from rtl_gen.blocks.merge import StreamMerge

FIRST, SECOND = list(range(100)), list(range(1000, 1100))


@pytest.mark.parametrize("stalls", STALLS)
def test_order_and_stability(stalls: str) -> None:
    producer, consumer = STALLS[stalls]
    dut = StreamMerge(shape=16)
    sources = [
        Source(dut.i_first, FIRST, Stalls(producer, seed=7)),
        Source(dut.i_second, SECOND, Stalls(producer, seed=8)),
    ]
    sink = Sink(dut.o, Stalls(consumer, seed=9), count=len(FIRST + SECOND))
    simulate(dut, *(source.run for source in sources), sink.run)
    assert [value for value in sink.received if value < 1000] == FIRST
    assert [value for value in sink.received if value >= 1000] == SECOND
