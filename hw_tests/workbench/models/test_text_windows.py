# SPDX-License-Identifier: Apache-2.0
"""Windows of a text: where they begin, how long they are, and a text that is too short."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from workbench.models.text_windows import paragraph_texts, read_paragraphs, text_windows

WORDS = [f"w{number}" for number in range(40)]


@pytest.fixture
def tokenizer() -> Tokenizer:
    """A token for each word, and one that would open a text if anybody let it."""
    numbers = {word: number for number, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(numbers | {"<s>": 99, "<unk>": 98}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A"], special_tokens=[("<s>", 99)]
    )
    return made


def paragraphs(*sizes: int) -> list[str]:
    words = iter(WORDS)
    return [" ".join(next(words) for _ in range(size)) for size in sizes]


def test_windows_begin_with_paragraphs_and_have_one_length(tokenizer: Tokenizer) -> None:
    text = paragraphs(5, 3, 9, 2, 2, 2, 8)
    found = text_windows(text, tokenizer, prefix=[99, 97], text_tokens=6, tokens=18)
    expected = [[0, 1, 2, 3, 4, 5], [8, 9, 10, 11, 12, 13], [17, 18, 19, 20, 21, 22]]
    assert [window.tokens.tolist() for window in found] == [[99, 97, *part] for part in expected]
    assert {window.given for window in found} == {3}


def test_texts_begin_with_paragraphs_and_the_last_may_be_short(tokenizer: Tokenizer) -> None:
    text = paragraphs(5, 3, 9, 2)
    found = paragraph_texts(text, tokenizer, 6, 4)
    expected = [[0, 1, 2, 3, 4, 5], [8, 9, 10, 11, 12, 13], [17, 18]]
    assert [ids.tolist() for ids in found] == expected
    assert len(paragraph_texts(text, tokenizer, 6, 2)) == 2


def test_the_first_token_of_text_is_given(tokenizer: Tokenizer) -> None:
    (found,) = text_windows(paragraphs(9), tokenizer, prefix=[], text_tokens=4, tokens=1)
    assert (found.tokens.tolist(), found.given) == ([0, 1, 2, 3], 1)


@pytest.mark.parametrize(
    ("length", "tokens", "message"),
    [
        (6, 13, "the text has 12 tokens in windows of 6, not 13"),
        (50, 1, "the text has 0 tokens in windows of 50, not 1"),
        (1, 5, "at least 2 tokens of text, and there must be at least 1 in all, not 1 and 5"),
        (6, 0, "at least 2 tokens of text, and there must be at least 1 in all, not 6 and 0"),
    ],
)
def test_a_text_that_is_too_short_is_refused(
    tokenizer: Tokenizer, length: int, tokens: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        text_windows(paragraphs(5, 3, 9), tokenizer, prefix=[1], text_tokens=length, tokens=tokens)


def test_empty_lines_separate_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffa b\nc\r\n\r\n\n\n  d  \n\n\n".encode())
    assert read_paragraphs(path) == ["a b\nc", "d"]
    path.write_bytes(b"\n \n\n")
    with pytest.raises(ValueError, match="must hold at least one paragraph of text"):
        read_paragraphs(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="must be UTF-8 text"):
        read_paragraphs(path)
