# SPDX-License-Identifier: Apache-2.0
"""What the result writer makes of a row of results: the scalar model for all tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meadow.spec import numerics
from meadow.spec.epilogue import ResultMode

__all__ = ["finished"]

_Function = Callable[[Sequence[int], Sequence[int], Sequence[int], int], list[int]]


def finished(
    mode: ResultMode,
    results: Sequence[int],
    *,
    second: Sequence[int] = (),
    table: Sequence[int] = (),
    shift: int = 0,
) -> list[int]:
    """Elements that a word (or any number of whole pairs of results) becomes.

    second: as many elements of the second operand: those at the destination, of the written size,
    or cosine and sine of each pair; table: the activation table; shift: `post_shift`.
    """
    return _FUNCTIONS[mode](results, second, table, shift)


def _rotated(
    results: Sequence[int], second: Sequence[int], _table: Sequence[int], shift: int
) -> list[int]:
    elements, angles = iter(results), iter(second)
    pairs = zip(elements, elements, angles, angles, strict=True)
    return [value for pair in pairs for value in numerics.rotate(*pair, shift)]


_FUNCTIONS: Mapping[ResultMode, _Function] = {
    ResultMode.WRITE: lambda results, *_: list(results),
    ResultMode.ADD16: lambda results, second, *_: [
        numerics.saturate(a + b, 16) for a, b in zip(second, results, strict=True)
    ],
    ResultMode.LOGITS16: lambda results, *_: list(results),
    ResultMode.TABLE8: lambda results, _, table, __: [
        table[numerics.table_index(value)] for value in results
    ],
    ResultMode.ROTATE8: _rotated,
    ResultMode.GATE8: lambda results, second, _, shift: [
        numerics.gate(a, b, shift) for a, b in zip(second, results, strict=True)
    ],
}
