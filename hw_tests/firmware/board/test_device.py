# SPDX-License-Identifier: Apache-2.0
"""The driver of a board, unchanged, on a fake one: tokens of the golden model, and every way in which
a client can end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from firmware.board.device import BoardDevice, open_board
from firmware.board.errors import BoardBusy, BoardError, InterruptLost, Terminated
from firmware.device import DeviceClosed, DeviceError, DeviceTimeout
from firmware.golden_device import GoldenDevice
from firmware.registers import ContractMismatch, Registers
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from hw_tests.fake_board.board import BASE, FakeBoard
from hw_tests.firmware.board.conftest import PROMPT, ROOT, TOKENS, MakeBoard, StartClient
from hw_tests.firmware.test_session_prefix import IMAGES
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import ErrorCode
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

STATUS = 0x104


def generate(board: FakeBoard, image: Image, **options: object) -> list[int]:
    """Three lines: open, load, generate."""
    with open_board(image, root=board.root) as device:
        session = Session(device, image, **options)  # pyright: ignore[reportArgumentType]
        return list(session.generate(PROMPT, TOKENS))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and the only line of the client's standard error."""
    _, errors = process.communicate(timeout=120)
    (line,) = errors.splitlines()
    return process.returncode, line


def tokens_of(process: subprocess.Popen[str]) -> list[int]:
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return [int(line) for line in output.splitlines()]


@pytest.mark.sim
def test_the_demo_text_is_that_of_the_golden_model(make_board: MakeBoard) -> None:
    loaded = load_model(None, CompileOptions(chosen=choose_config("tiny")), print)
    assert loaded.quantised is not None
    image, tokenizer = loaded.image, TextTokenizer(loaded.image)
    prompt = tokenizer.encode("Once upon a time")
    board = make_board(simulated=True, buffer_bytes=Session.window_bytes(image))
    with open_board(image, root=board.root) as device:
        tokens = list(Session(device, image).generate(prompt, 12))
    golden = BitTrueModel(loaded.quantised, image.manifest.config)
    cache, expected = golden.new_cache(), []
    logits = golden.forward(prompt, cache)
    for _ in range(12):
        expected.append(int(np.argmax(logits[-1])))
        logits = golden.forward(expected[-1:], cache)
    assert tokens == expected
    assert tokenizer.decode(tokens).startswith(", there lived")
    assert board.interrupts == 12


def test_a_session_is_the_golden_devices(
    make_board: MakeBoard, image: Image, expected: list[int]
) -> None:
    board = make_board()
    assert generate(board, image) == expected
    assert generate(board, image, timeout_s=5.0) == expected
    with open_board(root=board.root) as device:
        assert device.memory_base == BASE and device.memory.size == board.memory_bytes
        assert Registers(device, image.manifest.config).contract() == image.manifest.contract_hash


def test_only_the_spans_that_were_touched_are_synchronised(
    make_board: MakeBoard, image: Image
) -> None:
    board = make_board()
    with open_board(image, root=board.root) as device:
        session = Session(device, image)
        assert board.syncs[0] == ("sync_for_device", 0, board.memory_bytes)
        del board.syncs[:]
        session.decode(3)
        regions = {name: place.offset * BEAT_BYTES for name, place in image.manifest.regions.items()}
        row = -(-image.embed_tokens.shape[1] * 2 // 64) * 64
        assert board.syncs == [
            ("sync_for_device", regions["embeddings"], row),
            ("sync_for_cpu", regions["argmax"], 64),
        ]


@pytest.mark.parametrize("forgotten", ["sync_for_device", "sync_for_cpu"])
def test_a_driver_that_forgets_the_cache_is_found_out(
    make_board: MakeBoard,
    image: Image,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
    forgotten: str,
) -> None:
    monkeypatch.setattr(BoardDevice, forgotten, lambda self, first, size: None)
    board = make_board()
    try:
        assert generate(board, image) != expected
    except DeviceError as error:
        assert error.code == ErrorCode.COMMAND_CHECK and forgotten == "sync_for_device"


def test_a_coherent_port_needs_no_synchronisation(
    make_board: MakeBoard, image: Image, expected: list[int]
) -> None:
    board = make_board(coherent=True)
    assert generate(board, image) == expected
    assert board.syncs == []


@pytest.mark.parametrize("name", IMAGES)
def test_the_prefix_of_a_model_reaches_the_device(make_board: MakeBoard, name: str) -> None:
    image = IMAGES[name]
    size = Session.window_bytes(image, 2)
    with GoldenDevice(image.manifest.config, size) as golden:
        session = Session(golden, image, sequences=2)
        expected = session.step({0: [8, 9], 1: [11]}).next_tokens
    board = make_board(buffer_bytes=size)
    with open_board(image, sequences=2, root=board.root) as device:
        device.memory[image.manifest.kv_base(0) * BEAT_BYTES :] = 0xA5
        session = Session(device, image, sequences=2)
        assert session.step({0: [8, 9], 1: [11]}).next_tokens == expected
        session.rewind(1)
        again = session.step({1: [11]}).next_tokens
        assert again == expected[1:]


def test_a_device_is_for_one_client(make_board: MakeBoard, image: Image) -> None:
    board = make_board()
    with open_board(image, root=board.root):
        with pytest.raises(BoardBusy) as error:
            open_board(image, root=board.root)
        assert str(error.value) == f"another process (process {os.getpid()}) uses " + str(
            board.root / "dev/uio0"
        )
    generate(board, image)


def test_another_bitstream_is_refused_before_anything_is_written(
    make_board: MakeBoard, image: Image, start: StartClient
) -> None:
    board = make_board(config="small")
    code, line = ended(start(board))
    found, needed = contract_hash(CONFIGURATIONS["small"]), image.manifest.contract_hash
    assert code == 2
    assert line.startswith(f"meadow: the device has contract {found}, the image needs {needed}")
    assert board.syncs == [] and board.stores == 0


def test_what_is_no_meadow_is_told_so(make_board: MakeBoard, image: Image) -> None:
    board = make_board()
    board.planted[0x000] = 0xDEADBEEF
    with pytest.raises(ContractMismatch, match=r"magic is 0xDEADBEEF, not 0x4D454144: another bit"):
        open_board(image, root=board.root)
    board.planted = {0x004: 99}
    with pytest.raises(ContractMismatch, match="register map version 99, this driver knows"):
        open_board(root=board.root)
    assert board.stores == 0


def test_a_buffer_that_is_too_small_is_refused_before_anything_is_written(
    make_board: MakeBoard, image: Image, start: StartClient
) -> None:
    needed = Session.window_bytes(image)
    board = make_board(buffer_bytes=needed - 4096)
    code, line = ended(start(board))
    assert code == 2
    assert line.startswith(
        f"meadow: {board.root}/dev/udmabuf-meadow must have {needed} bytes for this image and 1 "
        f"sequences, not {needed - 4096}: enlarge"
    )
    assert board.syncs == [] and board.stores == 0
    with pytest.raises(BoardError, match="for this image and 2 sequences"):
        open_board(image, sequences=2, root=board.root)


@pytest.mark.parametrize("timeout", [None, 1.5])
def test_a_lost_interrupt_is_named(
    make_board: MakeBoard, image: Image, expected: list[int], timeout: float | None
) -> None:
    board = make_board()
    board.lose_interrupts = True
    with pytest.raises(InterruptLost, match="the program has ended, but .*/dev/uio0 had no inter"):
        generate(board, image, timeout_s=timeout)
    board.lose_interrupts = False
    assert generate(board, image) == expected


def test_an_interrupt_of_an_earlier_program_is_passed_over(
    make_board: MakeBoard, image: Image, expected: list[int]
) -> None:
    board = make_board()
    with open_board(image, root=board.root) as device:
        session = Session(device, image)
        device.uio.enable_interrupt()
        board.spurious_interrupt()
        assert list(session.generate(PROMPT, TOKENS)) == expected


@pytest.mark.sim
def test_a_refused_access_ends_the_client_with_one_line(
    make_board: MakeBoard, start: StartClient, expected: list[int]
) -> None:
    board = make_board(simulated=True)
    board.refuse = {STATUS}
    code, line = ended(start(board))
    assert code == 128 + signal.SIGBUS
    assert line == (
        f"meadow: the bus refused reading register 0x104 of {board.root}/dev/uio0: check that the "
        "bitstream of its overlay is loaded, and clock and reset of the device"
    )
    board.refuse = {0x11C}
    code, line = ended(start(board))
    assert code == 128 + signal.SIGBUS and "refused writing 0x5 to register 0x11c of" in line
    board.refuse = set()
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
def test_an_error_of_the_memory_is_told_and_the_next_client_works(
    make_board: MakeBoard, start: StartClient, expected: list[int]
) -> None:
    board = make_board(simulated=True)
    board.simulation.configure(error_address=BASE)
    code, line = ended(start(board))
    assert code == 2 and "meadow: the device reports READ_RESPONSE at command" in line
    board.simulation.configure(error_address=None)
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (signal.SIGKILL, -signal.SIGKILL, None),
        (signal.SIGTERM, 143, "meadow: asked to end: the device is stopped"),
        (signal.SIGHUP, 129, "meadow: asked to end: the device is stopped"),
        (signal.SIGINT, 130, "meadow: interrupted: the device is stopped"),
    ],
)
def test_a_client_that_is_ended_in_mid_program_leaves_a_device_for_the_next(
    make_board: MakeBoard,
    start: StartClient,
    expected: list[int],
    number: signal.Signals,
    code: int,
    told: str | None,
) -> None:
    board = make_board(simulated=True)
    board.frozen = True
    process = start(board)
    assert board.started.wait(60)
    time.sleep(0.3)  # into the wait for the interrupt
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines() == ([] if told is None else [told])
    assert board.logic.busy == (told is None)
    board.frozen = False
    assert tokens_of(start(board)) == expected


@pytest.mark.sim
def test_a_program_that_does_not_end_is_a_timeout(make_board: MakeBoard, image: Image) -> None:
    board = make_board(simulated=True)
    board.frozen = True
    with pytest.raises(DeviceTimeout, match=r"no interrupt within 0.2 s, and the device is busy"):
        generate(board, image, timeout_s=0.2)
    assert not board.logic.busy


def test_a_device_that_does_not_become_idle_is_given_back_all_the_same(
    make_board: MakeBoard, image: Image
) -> None:
    board = make_board()
    device = open_board(image, root=board.root)
    board.planted[STATUS] = 0x11
    with pytest.raises(DeviceTimeout, match="busy 2.0 s after a soft reset: the memory does not"):
        device.close()
    board.planted = {}
    generate(board, image)


def test_a_closed_device_says_so(make_board: MakeBoard, image: Image) -> None:
    board = make_board()
    before = signal.getsignal(signal.SIGTERM)
    device = open_board(image, root=board.root)
    view = device.memory[:16]
    assert signal.getsignal(signal.SIGTERM) != before
    device.close()
    device.close()
    assert signal.getsignal(signal.SIGTERM) == before and view.size == 16
    uses: tuple[Callable[[], object], ...] = (
        lambda: device.read(0),
        lambda: device.memory,
        lambda: device.sync_for_device(0, 64),
        lambda: device.sync_for_cpu(0, 64),
        lambda: device.wait(),
    )
    for use in uses:
        with pytest.raises(DeviceClosed):
            use()


def test_a_handler_of_the_programs_own_stays(
    make_board: MakeBoard, image: Image
) -> None:
    board, seen = make_board(), []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with open_board(image, root=board.root):
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(Terminated) as error:
        with open_board(image, root=board.root):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    assert error.value.code == 143
    generate(board, image)


BLOCKED = """
import importlib, pkgutil, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        first = name.split(".")[0]
        if first not in {*sys.stdlib_module_names, "numpy", "firmware", "meadow"}:
            raise ImportError(f"{name} is not on a board")
sys.meta_path.insert(0, Finder())
import firmware.board
names = [f"firmware.board.{found.name}" for found in pkgutil.iter_modules(firmware.board.__path__)]
for name in [*names, "firmware.conversation", "firmware.tokenizer", "firmware.chat_template"]:
    importlib.import_module(name)
print(len(names))
"""


def test_the_driver_needs_numpy_and_the_standard_library_only() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10
