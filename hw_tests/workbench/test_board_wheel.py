# SPDX-License-Identifier: Apache-2.0
"""The small wheel for a board, installed beside NumPy alone, generates what golden does."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy
import pytest

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.fake_board import client
from hw_tests.fake_board.board import FakeBoard
from hw_tests.fake_board.logic import golden_logic
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image, write_image
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import named_config
from workbench.board_wheel import board_wheel, main, wheel_files

WHOLE_WHEEL_FILES = 300
"""That of the project has more."""


def _run(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        words,
        cwd=folder,
        env=kept | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return board_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the wheel and NumPy, and nothing else."""
    folder = tmp_path_factory.mktemp("board")
    made = _run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)
    assert made.returncode == 0, made.stderr
    python = folder / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    done = _run([*pip, "--no-index", "--no-deps", str(wheel)], folder)
    assert done.returncode == 0, done.stderr
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    source = Path(numpy.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (source / name).exists():
            (packages / name).symlink_to(source / name)
    return python


def test_it_holds_the_driver_and_what_that_imports(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert names >= {
        "firmware/board/device.py",
        "firmware/session.py",
        "firmware/image.py",
        "firmware/tokenizer.py",
        "firmware/template_renderer.py",
        "meadow/spec/contract.py",
        "meadow/model/image.py",
    }
    rooms = {"/".join(name.split("/")[:2]) for name in names if name.startswith("meadow/")}
    assert rooms == {"meadow/__init__.py", "meadow/spec", "meadow/model"}
    assert "firmware/golden_device.py" not in names
    assert len(names) < WHOLE_WHEEL_FILES / 4 and wheel.stat().st_size < 200_000
    assert len(wheel_files()) == len(names) - 5


def test_the_same_sources_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "a" / "b")]) == 0
    again = tmp_path / "a" / "b" / wheel.name
    assert again.read_bytes() == wheel.read_bytes()


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--out", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("meadow: ") and error.count("\n") == 1


def test_beside_numpy_alone_it_generates_what_golden_does(python: Path, tmp_path: Path) -> None:
    config = named_config("tiny")
    model = synthetic_model(
        opt_description(hidden=96, vocabulary=100, eos_token=99), hidden_block=64, seed=salted(0)
    )
    image = compile_image(model, config, config_name="tiny", tokenizer_json=b"")
    write_image(image, tmp_path / "model.meadow")
    with GoldenDevice(config, Session.window_bytes(image)) as device:
        expected = list(Session(device, image).generate([5, 17, 40], 4))
    size = Session.window_bytes(image)
    with FakeBoard(tmp_path / "root", buffer_bytes=size, make=golden_logic) as board:
        words = ["model.meadow", "--root", str(board.root), "--prompt-tokens", "5,17,40"]
        command = [str(python), client.__file__, "firmware.board", *words, "--max-tokens", "4"]
        done = _run(command, tmp_path, **board.environment)
    assert done.returncode == 0, done.stderr
    assert [int(line) for line in done.stdout.splitlines()] == expected


def test_what_it_lacks_is_told_in_one_line(python: Path, tmp_path: Path) -> None:
    command = python.with_name("meadow-board")
    done = _run([str(command), "none.meadow", "--prompt", "Once"], tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "none.meadow" in done.stderr
    code = "from firmware.tokenizer import load_tokenizer; load_tokenizer(b'{}')"
    done = _run([str(python), "-c", code], tmp_path)
    assert "TokenizerMissing: text needs the package tokenizers: pip install" in done.stderr
    done = _run([str(python), "-c", "import firmware.golden_device"], tmp_path)
    assert "No module named 'firmware.golden_device'" in done.stderr
