# SPDX-License-Identifier: Apache-2.0
"""What an error of the device says: what happened, where, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from firmware.device import ERROR_MEANINGS, STUCK, DeviceClosed, DeviceError, RegisterError
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from firmware.session import Session
from meadow.model.image import Image
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import WATCHDOG_CYCLES, ErrorCode

CONFIG = CONFIGURATIONS["tiny"]
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "bring-up.md"


def test_every_error_has_a_meaning_of_one_line() -> None:
    assert set(ERROR_MEANINGS) == set(ErrorCode) - {ErrorCode.NONE}
    for meaning in (*ERROR_MEANINGS.values(), STUCK):
        assert ": " in meaning and "\n" not in meaning  # what it is: what to do


def test_the_guide_has_the_table_of_errors() -> None:
    _, _, table = GUIDE.read_text("utf-8").partition(
        "| Error | Meaning | What to do |\n|---|---|---|\n"
    )
    rows = table.partition("\n\n")[0].splitlines()
    expected = []
    for code, meaning in ERROR_MEANINGS.items():
        what, remedy = meaning.split(": ", 1)
        expected.append(f"| `{code.name}` | {what} | {remedy} |")
    assert rows == expected


@pytest.mark.parametrize(
    ("code", "place"),
    [
        (ErrorCode.WINDOW, ", address 0x1f0, port 3; the command reaches beyond the DMA window"),
        (ErrorCode.READ_RESPONSE, ", address 0x1f0, port 3; the memory refused a read"),
        (ErrorCode.WRITE_RESPONSE, ", address 0x1f0, port 3; the memory refused a write"),
        (ErrorCode.STREAM, ", port 3; a weight stream is damaged"),
        (ErrorCode.COMMAND_CHECK, "; the command is damaged: copy the image"),
        (ErrorCode.ILLEGAL_COMMAND, "; the command has an opcode that the device does not know"),
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


BAD_OFFSETS = [
    -4,
    -1,
    1,
    2,
    0x102,
    0x1000,
    0x1004,
    1 << 32,
    1 << 70,
    True,
    4.0,
    0.5,
    "0",
    None,
    b"\0",
]
BAD_VALUES = [-1, 1 << 32, 1 << 70, 1.0, 1.5, float("nan"), "1", None, True, np.float32(2), [1]]


@pytest.fixture
def golden() -> GoldenDevice:
    return GoldenDevice(CONFIG, 1 << 12)


@pytest.mark.parametrize("offset", BAD_OFFSETS, ids=repr)
def test_an_offset_that_no_register_has_is_refused_and_named(
    golden: GoldenDevice, offset: object
) -> None:
    shown = hex(offset) if type(offset) is int else repr(offset)
    for access in (lambda: golden.read(offset), lambda: golden.write(offset, 1)):  # pyright: ignore[reportArgumentType]
        with pytest.raises(RegisterError, match=re.escape(f"offset {shown}: offsets are")):
            access()


@pytest.mark.parametrize("value", BAD_VALUES, ids=repr)
def test_a_value_that_no_register_holds_is_refused_and_changes_nothing(
    golden: GoldenDevice, value: object
) -> None:
    registers = Registers(golden, CONFIG)
    with pytest.raises(RegisterError, match=r"a register holds 0\.\.2\*\*32 - 1, not "):
        registers.write("watchdog", value)  # pyright: ignore[reportArgumentType]
    assert registers.read("watchdog") == WATCHDOG_CYCLES
    if value not in (1 << 32,):
        with pytest.raises(RegisterError, match="a register of 64 bits holds"):
            registers.write_wide("window_base", value)  # pyright: ignore[reportArgumentType]
        assert registers.read_wide("window_base") == 0


def test_integers_of_numpy_are_integers(golden: GoldenDevice) -> None:
    registers = Registers(golden, CONFIG)
    golden.write(np.int64(registers.offset("watchdog")), np.uint16(77))  # pyright: ignore[reportArgumentType]
    assert golden.read(np.uint32(registers.offset("watchdog"))) == 77  # pyright: ignore[reportArgumentType]


def test_a_closed_device_says_so_whatever_is_asked_of_it(image: Image) -> None:
    device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
    session = Session(device, image)
    tokens = session.generate([1, 2], 3)
    next(tokens)
    view = device.memory
    device.close()
    device.close()
    assert device.closed and view[: image.dram.size].tobytes() == image.dram.tobytes()
    before = view.copy()
    for use in (
        lambda: device.read(0),
        lambda: device.write(0, 1),
        lambda: device.wait(),
        lambda: device.interrupt,
        lambda: device.memory,
        lambda: device.__enter__(),
        lambda: session.registers.read("status"),
        lambda: session.registers.run_program(0, 1),
        lambda: session.registers.reset(),
        lambda: session.registers.counters(),
        lambda: session.step({0: [3]}),
        lambda: session.prefill([3]),
        lambda: session.generate([3], 1),
        lambda: session.rewind(),
        lambda: session.execute(0),
        lambda: session.dump_activations(),
        lambda: next(tokens),
        lambda: Session(device, image),
    ):
        with pytest.raises(DeviceClosed, match="^the device is closed"):
            use()
    assert np.array_equal(view, before)


def test_a_device_whose_constructor_failed_is_closed() -> None:
    device = GoldenDevice.__new__(GoldenDevice)
    with pytest.raises(ValueError):
        device.__init__(CONFIG, -4096)
    with pytest.raises(DeviceClosed):
        device.read(0)
    device.close()
