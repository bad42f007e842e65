# SPDX-License-Identifier: Apache-2.0
"""Commands are 64 bytes that say the same after decoding, and refuse what does not fit."""

from __future__ import annotations

import random
import zlib

import pytest

from hw_tests.seeds import salted
from meadow.spec.commands import (
    CHECK_BYTES,
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
    source = random.Random(salted(seed))
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
    assert data[:60] == bytes([7, 8, 2, 0]) + bytes(56)
    assert sum(field.bits for field in COMMON_FIELDS) == 32


def test_place_of_a_field_is_the_sum_of_those_before_it() -> None:
    data = Command(Opcode.LOAD, {"offset": 1}, Unit(0)).encode()
    word = int.from_bytes(data[: COMMAND_BYTES - CHECK_BYTES], "little")
    assert word == 1 | 1 << (32 + 20 + 12 + 2)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_names_are_unique_and_everything_fits(opcode: Opcode) -> None:
    fields = command_fields(opcode)
    assert len({field.name for field in fields}) == len(fields)
    assert sum(field.bits for field in fields) <= 8 * (COMMAND_BYTES - CHECK_BYTES)


def test_the_last_bytes_are_the_crc32_of_the_others() -> None:
    data = drawn(Opcode.NORM, 1).encode()
    assert int.from_bytes(data[60:], "little") == zlib.crc32(data[:60])
    for bit in range(512):
        changed = (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(64, "little")
        with pytest.raises(ValueError, match="a command has CRC-32 0x"):
            Command.decode(changed)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="NORM field words must be in 0..4095, not 4096"):
        Command(Opcode.NORM, {"words": 4096}).encode()
    with pytest.raises(ValueError, match="END has no field words"):
        Command(Opcode.END, {"words": 1}).encode()
    with pytest.raises(ValueError, match="a command has 64 bytes, not 63"):
        Command.decode(bytes(63))
    for opcode in (0, max(Opcode) + 1, 255):
        with pytest.raises(ValueError, match=f"unknown opcode {opcode}"):
            body = bytes([opcode]) + bytes(59)
            Command.decode(body + zlib.crc32(body).to_bytes(4, "little"))
