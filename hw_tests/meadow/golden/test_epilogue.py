# SPDX-License-Identifier: Apache-2.0
"""Vectorised epilogues against the scalar ones."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.epilogues import finished
from hw_tests.seeds import salted
from meadow.golden.epilogue import SecondOperands, finish
from meadow.spec.epilogue import EPILOGUES, MatmulOutput
from meadow.spec.numerics import TABLE_ENTRIES


@pytest.mark.parametrize("output", list(MatmulOutput))
def test_rows_are_the_scalar_rows(output: MatmulOutput) -> None:
    random, record, shape = np.random.default_rng(salted(int(output))), EPILOGUES[output], (5, 24)
    limit = 1 << (record.bits - 1)
    results = random.integers(1 - limit, limit, shape)
    kind = np.int16 if record.wide or record.exponents else np.int8
    destination = random.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, shape).astype(kind)
    operand = random.integers(-(1 << 15), 1 << 15, shape).astype(np.int16)
    table = random.integers(-32767, 32768, TABLE_ENTRIES).astype(np.int16)
    operands = SecondOperands(destination=destination, operand=operand, table=table, post_shift=13)
    second = operand if record.operand else destination
    expected = [
        finished(
            record.mode,
            [max(0, value) for value in row] if record.relu else row,
            second=others,
            table=table.tolist(),
            shift=13,
        )
        for row, others in zip(results.tolist(), second.tolist(), strict=True)
    ]
    written = finish(record, results, operands)
    assert written.dtype == kind
    assert written.tolist() == expected
