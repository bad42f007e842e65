# SPDX-License-Identifier: Apache-2.0
"""Text and tokens, and what is said where there is no tokenizer."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from firmware.tokenizer import TextTokenizer, TokenizerMissing
from meadow.golden.image import Image


def with_tokenizer(image: Image) -> Image:
    text = Tokenizer(models.WordLevel({"meadow": 5, "?": 0}, unk_token="?")).to_str()
    return dataclasses.replace(image, tokenizer=np.frombuffer(text.encode(), np.uint8))


def test_text_and_tokens(image: Image) -> None:
    tokenizer = TextTokenizer(with_tokenizer(image))
    assert tokenizer.encode("meadow") == [5]
    assert tokenizer.decode([5]) == "meadow"


def test_an_image_without_tokenizer_is_named(image: Image) -> None:
    with pytest.raises(TokenizerMissing, match="the image has no tokenizer.*--prompt-tokens"):
        TextTokenizer(image)


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b"\xff"])
def test_what_is_no_tokenizer_is_named(image: Image, data: bytes) -> None:
    damaged = dataclasses.replace(image, tokenizer=np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="tokenizer.json must hold a tokenizer: "):
        TextTokenizer(damaged)


def test_a_prompt_that_is_no_text_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"a prompt must be UTF-8 text, not '\\udcff'"):
        TextTokenizer(with_tokenizer(image)).encode("\udcff")


def test_a_missing_package_is_named(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(TokenizerMissing, match="pip install tokenizers"):
        TextTokenizer(with_tokenizer(image))
