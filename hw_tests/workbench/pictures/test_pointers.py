# SPDX-License-Identifier: Apache-2.0
"""The picture of the command pointers: its commands are those of a compiled layer."""

from __future__ import annotations

from hw_tests.meadow.compiler import family_models
from hw_tests.seeds import salted
from meadow.compiler.lowering.program import compile_program
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.commands import Flag, Opcode
from meadow.spec.config import named_config
from workbench.pictures.pointers import COMMANDS, MOMENTS


def test_the_commands_are_those_of_a_compiled_layer_and_the_held_one_has_hold_fetch() -> None:
    description = family_models.describe(
        "opt", layers=1, heads=2, head_dim=16, hidden=64, vocabulary=48
    )
    program = compile_program(
        synthetic_model(description, hidden_block=64, seed=salted(0)), named_config("tiny")
    )
    commands = dict(zip(program.labels, program.commands, strict=True))
    layer = [label.removeprefix("layers.0.") for label in program.labels if "layers.0." in label]
    assert tuple(label for label in layer if label in COMMANDS) == COMMANDS
    held = [name for name in COMMANDS if commands[f"layers.0.{name}"].flags & Flag.HOLD_FETCH]
    assert held == [COMMANDS[MOMENTS[0].fetch]]
    stores = [n for n, c in enumerate(COMMANDS) if commands[f"layers.0.{c}"].opcode == Opcode.STORE]
    assert MOMENTS[0].execute <= max(stores) < MOMENTS[1].execute
    for moment in MOMENTS:
        assert moment.execute <= moment.fetch
