# SPDX-License-Identifier: Apache-2.0
"""Commands are 64 bytes that say the same after decoding, and refuse what does not fit."""

from __future__ import annotations

import random

import pytest

from meadow.spec.commands import (
    COMMAND_BYTES,
    COMMON_FIELDS,
    FIELDS,
    Command,
    Flag,
    Opcode,
    Outputs,
    Unit,
    command_fields,
)


def drawn(opcode: Opcode, seed: int) -> Command:
    source = random.Random(seed)
    values = {}
    for field in FIELDS[opcode]:
        low = -(1 << (field.bits - 1)) if field.signed else 0
        high = (1 << (field.bits - field.signed)) - 1
        values[field.name] = source.choice((low, high, source.randint(low, high)))
    return Command(opcode, values, Unit(source.randrange(16)), Outputs(2), Flag.HOLD_FETCH)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_decode_is_the_inverse_of_encode(opcode: Opcode) -> None:
    for seed in range(20):
        command = drawn(opcode, seed)
        data = command.encode()
        assert len(data) == COMMAND_BYTES
        assert Command.decode(data) == command


def test_common_fields_come_first_and_missing_ones_are_0() -> None:
    data = Command(Opcode.FENCE, wait=Unit.STORER, condition=Outputs.LOGITS).encode()
    assert data == bytes([7, 8, 2, 0]) + bytes(60)
    assert sum(field.bits for field in COMMON_FIELDS) == 32


def test_place_of_a_field_is_the_sum_of_those_before_it() -> None:
    word = int.from_bytes(Command(Opcode.LOAD, {"offset": 1}, Unit(0)).encode(), "little")
    assert word == 1 | 1 << (32 + 20 + 12 + 2)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_names_are_unique_and_everything_fits(opcode: Opcode) -> None:
    fields = command_fields(opcode)
    assert len({field.name for field in fields}) == len(fields)
    assert sum(field.bits for field in fields) <= 8 * COMMAND_BYTES


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="NORM field words must be in 0..4095, not 4096"):
        Command(Opcode.NORM, {"words": 4096}).encode()
    with pytest.raises(ValueError, match="END has no field words"):
        Command(Opcode.END, {"words": 1}).encode()
    with pytest.raises(ValueError, match="a command has 64 bytes, not 63"):
        Command.decode(bytes(63))
    for opcode in (0, max(Opcode) + 1, 255):
        with pytest.raises(ValueError, match=f"unknown opcode {opcode}"):
            Command.decode(bytes([opcode]) + bytes(63))
