# SPDX-License-Identifier: Apache-2.0
"""The driver of a board, unchanged, on a fake one: tokens of the golden model, and what is checked
before anything is written.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from firmware.board.device import BoardDevice, open_board
from firmware.board.errors import BoardBusy, BoardError
from firmware.device import DeviceError
from firmware.golden_device import GoldenDevice
from firmware.registers import ContractMismatch, Registers
from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from hw_tests.fake_board.board import BASE
from hw_tests.firmware.board.conftest import ROOT, MakeBoard, StartClient, ended, generate
from hw_tests.firmware.test_session_prefix import IMAGES
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import ErrorCode
from workbench.configurations.chosen import choose_config
from workbench.models.cached import CompileOptions, load_model

STATUS = 0x104


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
        regions = {
            name: place.offset * BEAT_BYTES for name, place in image.manifest.regions.items()
        }
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


def test_an_overlay_of_another_build_is_refused_before_a_register_is_read(
    make_board: MakeBoard, image: Image, expected: list[int]
) -> None:
    board = make_board(contract="0" * 64)
    board.refuse = set(range(0, 4096, 4))
    with pytest.raises(
        ContractMismatch, match="uio0 is of a bitstream with contract 0{64}, the im"
    ):
        open_board(image, root=board.root)
    board = make_board(contract=image.manifest.contract_hash, name="second")
    assert generate(board, image) == expected


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
