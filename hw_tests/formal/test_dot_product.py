# SPDX-License-Identifier: Apache-2.0
"""Proofs of the parts of a dot product, and planted bugs that they find."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw_tests.formal.dot_product_benches import (
    packed_tree_bench,
    product_pair_bench,
    sum_tree_bench,
)
from hw_tests.formal.mutation import mutant
from hw_tests.formal.prover import prove, refute
from rtl_gen.lane.packed_tree import PackedTree
from rtl_gen.lane.product_pair import ProductPair
from rtl_gen.lane.sum_tree import SumTree

pytestmark = pytest.mark.formal

_PACKED = {"terms": 8, "bits": 3}
_TREE = {"terms": 8, "bits": 2, "last_bits": 5, "sum_bits": 7}


@pytest.mark.quick
@pytest.mark.parametrize("bits", [8, 12])
def test_product_pair(tmp_path: Path, bits: int) -> None:
    prove(product_pair_bench(bits), tmp_path, depth=6)
    prove(product_pair_bench(bits), tmp_path, mode="cover", depth=8)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("delayed(m, parity, 3,", "delayed(m, parity, 2,", ("high", "low")),
        ("both[shift] ^ delayed", "both[shift] | delayed", ("high", "low")),
        ("Cat(both[:shift], negative)", "Cat(both[:shift], both[shift])", ("low",)),
        ("both.eq(first_sum + second_product)", "both.eq(first_product + second_product)", ("high", "low")),
        ("self.SHIFT - len(low)), element.high)", "self.SHIFT - len(low) - 1), element.high)", ("factor_0", "factor_1")),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_pair(tmp_path: Path, old: str, new: str, checks: tuple) -> None:
    refute(product_pair_bench(8, mutant(ProductPair, old, new)), tmp_path, *checks, depth=8)


@pytest.mark.quick
def test_packed_tree(tmp_path: Path) -> None:
    prove(packed_tree_bench(PackedTree(**_PACKED)), tmp_path, depth=4)
    prove(packed_tree_bench(PackedTree(**_PACKED)), tmp_path, mode="cover", depth=5)


@pytest.mark.parametrize(
    ("old", "new", "checks"),
    [
        ("fields[0].eq(low)", "fields[0].eq(low[:-1])", ("low_0", "high_0")),
        ("fields[1].eq(high)", "fields[1].eq(high + (low < 0))", ("high_0", "high_1")),
        ("self.FIELD_BITS = bits + self.LEVELS", "self.FIELD_BITS = bits + self.LEVELS - 1", ("low_0",)),
        ("words[2 * index + 1])", "words[2 * index + 1] + 1)", ("low_0", "low_1")),
        ("words[2 * index + 1])", "words[2 * index])", ("low_0", "high_1")),
        ("total.eq(words[2 * index] + ", "total.eq((words[2 * index] & ~(1 << field)) + ", ("high_0",)),
    ],
)  # fmt: skip
def test_planted_bugs_in_the_packed_tree(tmp_path: Path, old: str, new: str, checks: tuple) -> None:
    wrong = mutant(PackedTree, old, new)
    refute(packed_tree_bench(wrong(**_PACKED)), tmp_path, *checks, depth=5)


@pytest.mark.quick
def test_sum_tree(tmp_path: Path) -> None:
    prove(sum_tree_bench(SumTree(**_TREE)), tmp_path, depth=5)
    prove(sum_tree_bench(SumTree(**_TREE)), tmp_path, mode="cover", depth=6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left + right + carries[index]", "left + right"),
        ("carries[len(parents) :], 1,", "carries[len(parents) :], 0,"),
        ("Cat(carries[1], self.i_last[1:])", "Cat(carries[0], self.i_last[1:])"),
        ("sums[0] + sums[1] + last + carries[0]", "sums[0] + sums[1] + last"),
    ],
)
def test_planted_bugs_in_the_tree(tmp_path: Path, old: str, new: str) -> None:
    wrong = mutant(SumTree, old, new)
    refute(sum_tree_bench(wrong(**_TREE)), tmp_path, "sum", depth=6)
