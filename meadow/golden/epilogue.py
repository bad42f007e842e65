# SPDX-License-Identifier: Apache-2.0
"""What the result writer makes of requantised results, one function for each result mode.

Shape letters: n rows, c channels of a command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from meadow.golden.numerics import gate, rotate, saturate, table_index
from meadow.spec.epilogue import Epilogue, ResultMode

__all__ = ["SecondOperands", "finish"]


@dataclass(frozen=True, kw_only=True)
class SecondOperands:
    """What the functions may use beside the results.

    destination : [n, c] of the written type, what stands where the results will be written.
    operand : int16 [n, c], the elements of the operand words: cosine and sine of each pair of
        channels, or what a gate multiplies with.
    table : int16 [TABLE_ENTRIES], the activation table.
    post_shift : rounding shift, 1..31.

    What an epilogue does not use may be missing.
    """

    destination: np.ndarray | None = None
    operand: np.ndarray | None = None
    table: np.ndarray | None = None
    post_shift: int = 0


def finish(epilogue: Epilogue, results: np.ndarray, operands: SecondOperands) -> np.ndarray:
    """What becomes of requantised results [n, c] of `epilogue.bits` bits: int8 or int16 [n, c].

    That is what is written, but for an epilogue with `exponents`: words (`numerics.words`) are made
    of its 16-bit values. The arg-max of LOGITS16 is taken elsewhere.
    """
    if epilogue.relu:
        results = np.maximum(results, 0)
    written = _FUNCTIONS[epilogue.mode](results, operands)
    return written.astype(np.int16 if epilogue.wide or epilogue.exponents else np.int8)


def _write(results: np.ndarray, _: SecondOperands) -> np.ndarray:
    return results


def _add(results: np.ndarray, operands: SecondOperands) -> np.ndarray:
    assert operands.destination is not None
    return saturate(results.astype(np.int64) + operands.destination, 16)


def _look_up(results: np.ndarray, operands: SecondOperands) -> np.ndarray:
    assert operands.table is not None
    return operands.table[table_index(results)]


def _rotate(results: np.ndarray, operands: SecondOperands) -> np.ndarray:
    angles = operands.operand
    assert angles is not None
    turned = rotate(
        results[:, 0::2], results[:, 1::2], angles[:, 0::2], angles[:, 1::2], operands.post_shift
    )
    return np.stack(turned, axis=-1).reshape(results.shape)


def _gate(results: np.ndarray, operands: SecondOperands) -> np.ndarray:
    assert operands.operand is not None
    return gate(operands.operand, results, operands.post_shift)


_FUNCTIONS: Mapping[ResultMode, Callable[[np.ndarray, SecondOperands], np.ndarray]] = {
    ResultMode.WRITE: _write,
    ResultMode.ADD16: _add,
    ResultMode.LOGITS16: _write,
    ResultMode.TABLE: _look_up,
    ResultMode.ROTATE8: _rotate,
    ResultMode.GATE: _gate,
    ResultMode.TABLE16: _look_up,
    ResultMode.WORD: _write,
}
