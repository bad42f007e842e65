# SPDX-License-Identifier: Apache-2.0
"""Row sets of a step, and the steps a configuration refuses."""

from __future__ import annotations

import pytest

from meadow.spec.commands import Outputs, RowSet
from meadow.spec.config import named_config
from meadow.spec.step import Sequence, Step

TINY = named_config("tiny")  # 4 sequences, 64 rows, 512 tokens


def test_row_sets() -> None:
    step = Step((Sequence(0, 7, 3, 0), Sequence(9, 0, 1, 3), Sequence(5, 2, 4, 4)))
    assert step.rows == 8
    assert step.head_rows == (2, 3, 7)
    assert [step.row_count(row_set, 5) for row_set in RowSet] == [5, 8, 3]
    everything = Step(step.sequences, head_all=True)
    assert everything.head_rows == tuple(range(8))
    assert everything.row_count(RowSet.HEAD, 5) == 8
    step.check(TINY)


@pytest.mark.parametrize(
    ("tokens", "group_heads", "variant"),
    [
        ((64,), 1, Outputs.NARROW),  # 32 groups of 2 tokens
        ((32, 32), 2, Outputs.NARROW),  # of 1 token
        ((33, 1), 2, Outputs.WIDE),
        ((32,), 5, Outputs.NARROW),  # more heads than lanes run in turns
        ((1, 63), 8, Outputs.WIDE),
    ],
)
def test_variant_of_attention(tokens: tuple[int, ...], group_heads: int, variant: Outputs) -> None:
    step = Step(tuple(Sequence(0, 0, count) for count in tokens), Outputs.LOGITS)
    assert step.outputs_register(TINY, group_heads) == Outputs.LOGITS | variant


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ((), "a step takes 1..4 sequences, not 0"),
        (tuple(Sequence(0, 0, 1, row) for row in range(5)), "1..4 sequences, not 5"),
        ((Sequence(0, 0, 0),), "sequence 0 must bring at least 1 token, not 0"),
        ((Sequence(0, 0, 2), Sequence(0, 0, 1, 3)), "sequence 1 must start at row 2, not 3"),
        ((Sequence(0, 500, 13),), "sequence 0 reaches 513 tokens, the configuration holds 512"),
        ((Sequence(0, -1, 2),), "sequence 0 reaches 1 tokens"),
        ((Sequence(0, 0, 60), Sequence(0, 0, 5, 60)), "a chunk holds 64 tokens, not 65"),
    ],
)
def test_errors(sequences: tuple[Sequence, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Step(sequences).check(TINY)


def test_limits_are_inclusive() -> None:
    Step((Sequence(0, 448, 64),)).check(TINY)
    Step(tuple(Sequence(0, 511, 1, row) for row in range(4))).check(TINY)
