# SPDX-License-Identifier: Apache-2.0
"""What the result writer makes of a row of results: the scalar model for all tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from meadow.spec import numerics
from meadow.spec.epilogue import ResultMode

__all__ = ["finished", "written_word"]

_Function = Callable[[Sequence[int], Sequence[int], Sequence[int], int], list[int]]


def finished(
    mode: ResultMode,
    results: Sequence[int],
    *,
    second: Sequence[int] = (),
    table: Sequence[int] = (),
    shift: int = 0,
) -> list[int]:
    """Elements that a word (or any number of whole pairs of results) becomes; those of a mode with
    halves are what `written_word` makes bytes of.

    second: as many 16-bit elements of the second operand: those at the destination, those of the
    operand words, or cosine and sine of each pair; table: the activation table; shift:
    `post_shift`.
    """
    return _FUNCTIONS[mode](results, second, table, shift)


def written_word(elements: Sequence[int]) -> tuple[list[int], int]:
    """Signed bytes and exponent of a word that is made of W signed 16-bit elements."""
    exponent = numerics.word_exponent(list(elements))
    return numerics.word_values(list(elements), exponent), exponent


def _rotated(
    results: Sequence[int], second: Sequence[int], _table: Sequence[int], shift: int
) -> list[int]:
    elements, angles = iter(results), iter(second)
    pairs = zip(elements, elements, angles, angles, strict=True)
    return [value for pair in pairs for value in numerics.rotate(*pair, shift)]


def _looked_up(
    results: Sequence[int], _second: Sequence[int], table: Sequence[int], _shift: int
) -> list[int]:
    return [table[numerics.table_index(value)] for value in results]


_FUNCTIONS: Mapping[ResultMode, _Function] = {
    ResultMode.WRITE: lambda results, *_: list(results),
    ResultMode.ADD16: lambda results, second, *_: [
        numerics.saturate(a + b, 16) for a, b in zip(second, results, strict=True)
    ],
    ResultMode.LOGITS16: lambda results, *_: list(results),
    ResultMode.TABLE: _looked_up,
    ResultMode.ROTATE8: _rotated,
    ResultMode.GATE: lambda results, second, _, shift: [
        numerics.gate(a, b, shift) for a, b in zip(second, results, strict=True)
    ],
    ResultMode.TABLE16: _looked_up,
    ResultMode.WORD: lambda results, *_: list(results),
}
