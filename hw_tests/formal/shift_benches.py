# SPDX-License-Identifier: Apache-2.0
"""What is proven of a shift that drops what saturation would: it equals one that drops nothing."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Value

from hw_tests.formal.bench import Bench

__all__ = ["shift_saturate_bench"]


def shift_saturate_bench(shifter: Any) -> Bench:
    """A ShiftSaturate against numerics.saturate of the whole number, shifted as a whole."""
    bench = Bench("shift_saturate")
    bench.add(shifter)
    bench.assume(shifter.shift < shifter.shifts)
    value, shift = (_past(bench, source, shifter.LATENCY) for source in (shifter.i, shifter.shift))
    narrow = _past(bench, shifter.narrow, shifter.LATENCY - shifter.NARROW_DELAY)
    most = (1 << len(shifter.o) - 1) - 1
    highest, lowest = Mux(narrow, 127, most), Mux(narrow, -127, -most - 1)
    shifted = value.as_signed() >> shift
    wanted = Mux(shifted > highest, highest, Mux(shifted < lowest, lowest, shifted))
    filling = ~_past(bench, Const(1, 1), shifter.LATENCY)
    bench.check("saturated", filling | (shifter.o == wanted))
    for name, reached in (
        ("lowest", shifted < lowest),
        ("highest", shifted > highest),
        ("minus_128", narrow & (shifted == -128)),
        ("farthest", (shift == shifter.shifts - 1) & (shifter.o != 0) & (shifted == shifter.o)),
    ):
        bench.cover(name, reached & ~filling)
    return bench


def _past(bench: Bench, value: Any, cycles: int) -> Value:
    for _ in range(cycles):
        value = bench.past(value)
    return Value.cast(value)
