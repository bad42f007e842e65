# SPDX-License-Identifier: Apache-2.0
"""What an error of the device says: what happened, where, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.device import ERROR_MEANINGS, STUCK, DeviceError
from meadow.spec.registers import ErrorCode

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "bring-up.md"


def test_every_error_has_a_meaning_of_one_line() -> None:
    assert set(ERROR_MEANINGS) == set(ErrorCode) - {ErrorCode.NONE}
    for meaning in (*ERROR_MEANINGS.values(), STUCK):
        assert ": " in meaning and "\n" not in meaning  # what it is: what to do


def test_the_guide_has_the_table_of_errors() -> None:
    rows = [line for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("| `")]
    expected = []
    for code, meaning in ERROR_MEANINGS.items():
        what, remedy = meaning.split(": ", 1)
        expected.append(f"| `{code.name}` | {what} | {remedy} |")
    assert rows[: len(expected)] == expected


@pytest.mark.parametrize(
    ("code", "place"),
    [
        (ErrorCode.WINDOW, ", address 0x1f0, port 3; the command reaches beyond the DMA window"),
        (ErrorCode.READ_RESPONSE, ", address 0x1f0, port 3; the memory refused a read"),
        (ErrorCode.WRITE_RESPONSE, ", address 0x1f0, port 3; the memory refused a write"),
        (ErrorCode.STREAM, ", port 3; a weight stream is damaged"),
        (ErrorCode.COMMAND_CHECK, "; the command is damaged: copy the image"),
        (ErrorCode.ILLEGAL_COMMAND, "; the command has an unknown opcode"),
        (ErrorCode.ACTIVATION, "; the command reaches beyond the activation memory"),
        (ErrorCode.WATCHDOG, "; nothing moved for `watchdog` cycles"),
    ],
)
def test_an_error_names_its_place_as_far_as_it_has_one(code: ErrorCode, place: str) -> None:
    error = DeviceError(code=code, command=12, address=0x1F0, port=3, label="layers.1.v")
    start = f"the device reports {code.name} at command 12 (layers.1.v){place}"
    assert str(error).startswith(start) and "does not answer" not in str(error)
    stuck = DeviceError(code=code, command=12, address=0x1F0, port=3, stuck=True)
    assert stuck.stuck and not error.stuck
    assert str(stuck).endswith(f"; {STUCK}") and "layers" not in str(stuck)
