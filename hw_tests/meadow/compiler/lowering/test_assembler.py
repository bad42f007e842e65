# SPDX-License-Identifier: Apache-2.0
"""The assembler emits nothing that the device would refuse."""

from __future__ import annotations

import pytest

from meadow.compiler.lowering.assembler import Assembler
from meadow.compiler.lowering.layout import CompileError
from meadow.spec.commands import Opcode
from meadow.spec.config import named_config


def test_a_command_out_of_range_is_named_when_it_is_emitted() -> None:
    assembler = Assembler(named_config("tiny"), "raw")
    message = "layers.7.x: the device would refuse this command: VECTOR field rows must be in 0..64"
    with pytest.raises(CompileError, match=message):
        assembler.emit("layers.7.x", Opcode.VECTOR, rows=65)
    with pytest.raises(CompileError, match="y: the device .* LOAD to TABLE must be one FIXED row"):
        assembler.emit("y", Opcode.LOAD, space=2, row_beats=257, rows=1)
    assert not assembler.commands and not assembler.labels
    assembler.emit("layers.7.x", Opcode.VECTOR, rows=64)
    assert assembler.labels == ["layers.7.x"]
