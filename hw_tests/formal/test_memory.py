# SPDX-License-Identifier: Apache-2.0
"""Proof of the order of the activation memory's reads and writes, and planted bugs that it
finds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.formal.memory_benches import memory_bench, narrow_memory
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import prove, refute
from rtl_gen.interfaces.memory import READ_CLIENTS
from rtl_gen.memory.belt import Belt

pytestmark = pytest.mark.formal

DEPTH = 12
"""Cycles after which the registers hold nothing older: a read takes nine, its slot two more."""


@pytest.mark.quick
def test_a_read_sees_every_write_before_it_and_few_behind(tmp_path: Path) -> None:
    bench = memory_bench(narrow_memory())
    prove(bench, tmp_path, depth=DEPTH)
    prove(bench, tmp_path, mode="cover", depth=20)


_BELTS = {
    "two in a slot": mutant(Belt, "free.eq(~full)", "free.eq(~passed.any())"),
    "another's payload": mutant(
        Belt, "Mux(free, Value.cast(client.payload), carried)", "Mux(taken, carried, payload)"
    ),
}
_WRITE = """m.d.comb += write.as_value().eq(write_belt.payload)
        stores = write_belt.owner.any()"""
_LATE_WRITE = """m.d.sync += write.as_value().eq(write_belt.payload)
        stores = delayed(m, write_belt.owner.any(), 1, "late", reset_less=False)"""
_REFUSALS = [f"{side}_{kind}{k}" for side in ("read", "write") for kind in ("refused", "slot") for k in range(4)]  # fmt: skip


def _contents(*statements: str) -> list[str]:
    """The checks that make these statements about a part of the word."""
    parts = ("part0", "part1", "exponent")
    return [f"{name}_{part}_{reader}" for name in statements for part in parts for reader in READ_CLIENTS]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "belt", "checks"),
    [
        # Missed by the storer's read right behind it.
        (_WRITE, _LATE_WRITE, "", _contents("sees")),
        ('read_belt.payload, 2, "way"', 'read_belt.payload, 1, "way"', "", _contents("exact", "sees")),
        ("stores & write.mask[index]", "stores", "", _contents("exact", "sees")),
        ("stores & write.mask.all()", "stores", "", _contents("exact", "sees")),
        ("any() & ~self._beyond(write.address)", "any()", "", _contents("exact", "sees")),
        ("", "", "two in a slot", _REFUSALS),
        ("", "", "another's payload", _contents("exact", "sees")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_order(
    tmp_path: Path, old: str, new: str, belt: str, checks: list[str]
) -> None:
    parts = {"Belt": _BELTS[belt]} if belt else {}
    exact = any(check.startswith("exact") for check in checks)
    bench = memory_bench(narrow_memory(old, new, **parts), exact=exact)
    refute(bench, tmp_path, *checks, depth=20)
