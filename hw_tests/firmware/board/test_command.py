# SPDX-License-Identifier: Apache-2.0
"""`python -m firmware.board`: what it prints, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.board.__main__ import main
from firmware.board.kernel_files import wait_until
from hw_tests.firmware.board.conftest import PROMPT, TOKENS, MakeBoard

NUMBERS = ",".join(map(str, PROMPT))


def test_tokens_are_printed_as_they_come(
    make_board: MakeBoard, image_file: Path, expected: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    board = make_board()
    words = [str(image_file), "--root", str(board.root), "--max-tokens", str(TOKENS)]
    assert main([*words, "--prompt-tokens", NUMBERS, "--timeout", "9"]) == 0
    output = capsys.readouterr()
    assert output.out == "".join(f"{token}\n" for token in expected) and output.err == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prompt-tokens", "1,x"], "--prompt-tokens must be numbers like 1,2,3, not '1,x'"),
        (["--prompt-tokens", "1,999"], "a token must be in 0..99, not 999"),
        (["--prompt", "a"], "the image has no tokenizer: give the prompt as token numbers"),
        (
            ["--prompt-tokens", "1", "--uio", "other"],
            "no UIO device is called other, there is uio0",
        ),
        (
            ["--prompt-tokens", "1", "--buffer", "b"],
            "no u-dma-buf buffer is called b, there is udm",
        ),
    ],
)
def test_a_mistake_is_one_line(
    make_board: MakeBoard,
    image_file: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    told: str,
) -> None:
    board = make_board()
    assert main([str(image_file), "--root", str(board.root), *words]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert output.err.startswith("meadow: ") and told in output.err


def test_an_image_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none"), "--prompt-tokens", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_waiting_asks_at_once_and_ends() -> None:
    assert wait_until(lambda: True, 0)
    assert not wait_until(lambda: False, 0.02)
