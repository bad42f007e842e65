# SPDX-License-Identifier: Apache-2.0
"""Proofs of shifts that saturate, at small and at real widths, and planted bugs that they find."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import prove, refute
from hw_tests.formal.shift_benches import shift_saturate_bench
from rtl_gen.blocks.shift_saturate import ShiftSaturate

pytestmark = pytest.mark.formal

_SMALL = {"in_bits": 18, "bits": 9, "radices": (2, 3, 2)}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("in_bits", "bits", "radices"),
    [
        (18, 9, (2, 3, 2)),
        (14, 9, (4, 4, 3)),
        (33, 16, (4, 4, 2)),
        (35, 16, (4, 3, 3)),
        (48, 16, (4, 4, 3)),
    ],
)
def test_shift_saturate(
    tmp_path: Path, in_bits: int, bits: int, radices: tuple[int, int, int]
) -> None:
    shifter = ShiftSaturate(in_bits=in_bits, bits=bits, radices=radices)
    prove(shift_saturate_bench(shifter), tmp_path, depth=6)


@pytest.mark.quick
def test_a_shift_saturates_both_ways(tmp_path: Path) -> None:
    prove(shift_saturate_bench(ShiftSaturate(**_SMALL)), tmp_path, mode="cover", depth=8)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("not_narrow | lowest", "not_narrow"),
        ("window.beyond | passed(window, digit, radix, 1, self._bits - 1)", "window.beyond"),
        ("window.beyond | passed(window, digit, radix, 1, narrow_bits)", "window.beyond"),
        ("Mux(narrow, negative, result)", "result"),
        ("clamped |= narrow", "pass"),
        ("(window.kept >> digit)[:narrow_bits]", "window.kept[:narrow_bits]"),
    ],
)
def test_planted_bugs_in_the_saturation(tmp_path: Path, old: str, new: str) -> None:
    wrong = mutant(ShiftSaturate, old, new)
    refute(shift_saturate_bench(wrong(**_SMALL)), tmp_path, "saturated", depth=8)
