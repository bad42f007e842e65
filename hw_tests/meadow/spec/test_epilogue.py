# SPDX-License-Identifier: Apache-2.0
"""The table of epilogues: one record for each output, and what the records say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meadow.spec.commands import Opcode, command_fields
from meadow.spec.epilogue import (
    EPILOGUES,
    Epilogue,
    MatmulOutput,
    ResultMode,
    SecondOperand,
    outputs_with,
    result_modes_with,
)


def test_every_output_has_its_record_and_fits_its_field() -> None:
    assert list(EPILOGUES) == list(MatmulOutput) == list(range(len(MatmulOutput)))
    field = next(field for field in command_fields(Opcode.MATMUL) if field.name == "output")
    assert max(MatmulOutput) < 1 << field.bits


@pytest.mark.parametrize(
    ("holds", "names"),
    [
        (lambda epilogue: epilogue.bits == 8, "INT8"),
        (lambda epilogue: epilogue.relu, "RELU"),
        (lambda epilogue: epilogue.wide, "RESIDUAL16 LOGITS16 TABLE16"),
        (lambda epilogue: epilogue.halves, "RELU TABLE ROTATE8 GATE"),
        (lambda epilogue: epilogue.second == SecondOperand.DESTINATION, "RESIDUAL16"),
        (lambda epilogue: epilogue.second == SecondOperand.ROTARY, "ROTATE8"),
        (lambda epilogue: epilogue.second == SecondOperand.TABLE, "TABLE TABLE16"),
        (lambda epilogue: epilogue.second == SecondOperand.ACTIVATED, "GATE"),
        (lambda epilogue: epilogue.operand, "ROTATE8 GATE"),
        (lambda epilogue: epilogue.exponents, "RELU TABLE GATE"),
        (lambda epilogue: epilogue.post_shift, "ROTATE8 GATE"),
        (lambda epilogue: epilogue.arg_max, "LOGITS16"),
    ],
)
def test_properties_of_the_outputs(holds: Callable[[Epilogue], bool], names: str) -> None:
    assert " ".join(output.name for output in outputs_with(holds)) == names


def test_result_modes_come_in_the_order_of_their_numbers_and_once() -> None:
    assert result_modes_with(lambda epilogue: True) == tuple(ResultMode)
    assert result_modes_with(lambda epilogue: epilogue.bits == 8) == (ResultMode.WRITE,)
    assert result_modes_with(lambda epilogue: False) == ()


@pytest.mark.parametrize("mode", list(ResultMode))
def test_epilogues_of_one_result_mode_are_equal_to_the_writer(mode: ResultMode) -> None:
    """The writer knows the mode only: two records with it must not ask different things of it."""
    asked = {
        (record.element_bytes, record.second, record.post_shift, record.arg_max, record.halves)
        for record in EPILOGUES.values()
        if record.mode == mode
    }
    assert len(asked) == 1


def test_a_relu_is_for_16_bits_and_so_is_a_word_with_an_exponent() -> None:
    for output, record in EPILOGUES.items():
        assert record.bits in (8, 16) and record.element_bytes in (1, 2), output.name
        assert record.bits == 16 or not record.relu, output.name
        assert record.halves or not record.exponents, output.name
        assert record.bits == 16 or not record.wide, output.name
