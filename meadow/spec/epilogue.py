# SPDX-License-Identifier: Apache-2.0
"""Epilogues: what becomes of a MATMUL's accumulators. One record for each `output` of the command.

Ranges, hazards, golden and hardware derive from these records what they need to know; none of them
has a list of outputs of its own. How to add one: docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "EPILOGUES",
    "Epilogue",
    "MatmulOutput",
    "ResultMode",
    "SecondOperand",
    "outputs_with",
    "result_modes_with",
]


class MatmulOutput(IntEnum):
    """Field `output` of a MATMUL: the number of its epilogue."""

    INT8 = 0  # sat8(rq(acc + bias)), W elements per word, exponent 0
    RELU = 1  # max(0, sat16(rq(acc + bias))), a word with its exponent
    # r = sat16(r + sat16(rq(acc + bias))), W/2 little-endian elements per word, read and written
    RESIDUAL16 = 2
    LOGITS16 = 3  # sat16(rq(acc + bias)), W/2 elements per word, and running arg-max per row
    # table[(sat16(rq(acc + bias)) + 2^15) >> 5], the activation table; a word with its exponent
    TABLE = 4
    # pairs of sat16(rq(acc + bias)) turned by numerics.rotate with the row's operand words; INT8,
    # exponent 0
    ROTATE8 = 5
    # numerics.gate(INT16 of the row's operand words, sat16(rq(acc + bias))); a word with its
    # exponent
    GATE = 6
    TABLE16 = 7  # as TABLE, W/2 INT16 elements per word: what GATE multiplies with


class ResultMode(IntEnum):
    """What the result writer does with a result word; `data` are its W/2 signed 16-bit elements.

    TABLE, ROTATE8, GATE and WORD make W/2 signed 16-bit values v of it, which are half `half` of a
    word of W values; that word is written as numerics.word_values(v, e) with e =
    numerics.word_exponent(v). The others write exponent 0.
    """

    WRITE = 0  # word = data, as it is
    ADD16 = 1  # word[i] = sat16(word[i] + data[i])
    LOGITS16 = 2  # WRITE, and arg-max per row over the first `elements` elements
    TABLE = 3  # v[i] = table[table_index(data[i])]
    # v = numerics.rotate of the pairs data[2i], data[2i+1] with pair i of a word read; within
    # -127..127, so that e is 0
    ROTATE8 = 4
    GATE = 5  # v[i] = numerics.gate(element i of a word read, data[i])
    TABLE16 = 6  # word[i] = table[table_index(data[i])]
    WORD = 7  # v = data


class SecondOperand(IntEnum):
    """Second operand of an epilogue."""

    NONE = 0
    DESTINATION = 1  # what stands where the result will be written
    # the row's operand words hold {int16 cosine, int16 sine} for each pair of channels
    ROTARY = 2
    TABLE = 3  # the activation table
    ACTIVATED = 4  # the row's operand words hold an INT16 element for each channel


@dataclass(frozen=True, kw_only=True)
class Epilogue:
    """What becomes of accumulators: v = saturate(rq(acc + bias), bits), then the result writer.

    bits : of v, 8 or 16.
    relu : v is max(0, v); with 16 bits only.
    element_bytes : of what is written.
    exponents : words are written with exponents of their own, not 0.
    mode : what the result writer does with v.
    second : what it reads for that.
    post_shift : the rounding shift in the command's field `post_shift` is used, 1..31.
    arg_max : v takes part in the running arg-max of its row.
    """

    bits: int
    relu: bool = False
    element_bytes: int
    exponents: bool = False
    mode: ResultMode
    second: SecondOperand = SecondOperand.NONE
    post_shift: bool = False
    arg_max: bool = False

    @property
    def wide(self) -> bool:
        """Two words are written for W channels, not one."""
        return self.element_bytes == 2

    @property
    def operand(self) -> bool:
        """The result writer reads the row's operand words."""
        return self.second in (SecondOperand.ROTARY, SecondOperand.ACTIVATED)

    @property
    def halves(self) -> bool:
        """The words of v are W/2 channels each, and become the two halves of one word."""
        return self.bits == 16 and not self.wide


EPILOGUES: Mapping[MatmulOutput, Epilogue] = {
    MatmulOutput.INT8: Epilogue(bits=8, element_bytes=1, mode=ResultMode.WRITE),
    MatmulOutput.RELU: Epilogue(
        bits=16, relu=True, element_bytes=1, exponents=True, mode=ResultMode.WORD
    ),
    MatmulOutput.RESIDUAL16: Epilogue(
        bits=16, element_bytes=2, mode=ResultMode.ADD16, second=SecondOperand.DESTINATION
    ),
    MatmulOutput.LOGITS16: Epilogue(
        bits=16, element_bytes=2, mode=ResultMode.LOGITS16, arg_max=True
    ),
    MatmulOutput.TABLE: Epilogue(
        bits=16,
        element_bytes=1,
        exponents=True,
        mode=ResultMode.TABLE,
        second=SecondOperand.TABLE,
    ),
    MatmulOutput.ROTATE8: Epilogue(
        bits=16,
        element_bytes=1,
        mode=ResultMode.ROTATE8,
        second=SecondOperand.ROTARY,
        post_shift=True,
    ),
    MatmulOutput.GATE: Epilogue(
        bits=16,
        element_bytes=1,
        exponents=True,
        mode=ResultMode.GATE,
        second=SecondOperand.ACTIVATED,
        post_shift=True,
    ),
    MatmulOutput.TABLE16: Epilogue(
        bits=16, element_bytes=2, mode=ResultMode.TABLE16, second=SecondOperand.TABLE
    ),
}
"""The epilogue of each output. Those of one result mode differ in `bits` and `relu` only."""


def outputs_with(holds: Callable[[Epilogue], bool]) -> tuple[MatmulOutput, ...]:
    """The outputs whose epilogue has a property, in the order of their numbers."""
    return tuple(output for output in MatmulOutput if holds(EPILOGUES[output]))


def result_modes_with(holds: Callable[[Epilogue], bool]) -> tuple[ResultMode, ...]:
    """The result modes whose epilogues have a property, in the order of their numbers."""
    modes = {EPILOGUES[output].mode for output in outputs_with(holds)}
    return tuple(sorted(modes))
