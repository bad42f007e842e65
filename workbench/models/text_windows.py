# SPDX-License-Identifier: Apache-2.0
"""Windows of a text to measure a language model on: the prefix, and what follows from the beginning
of a paragraph on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meadow.compiler.quantise.text_figures import Window

__all__ = ["paragraph_texts", "read_paragraphs", "text_windows"]


def read_paragraphs(path: Path) -> list[str]:
    """Paragraphs of a UTF-8 file, which empty lines separate; ValueError if there is none."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text: {error}") from None
    paragraphs = [part.strip() for part in text.replace("\r\n", "\n").split("\n\n")]
    found = [part for part in paragraphs if part]
    if not found:
        raise ValueError(f"{path} must hold at least one paragraph of text")
    return found


def paragraph_texts(
    paragraphs: Sequence[str], tokenizer: Any, length: int, count: int
) -> list[np.ndarray]:
    """Up to `count` token sequences of `length` tokens that begin where a paragraph does; the last
    one of a text may be shorter.

    tokenizer : as for `text_windows`.
    """
    texts: list[np.ndarray] = []
    at = 0
    while at < len(paragraphs) and len(texts) < count:
        ids, at = _joined_paragraphs(paragraphs, at, tokenizer, length)
        texts.append(np.array(ids[:length], np.int64))
    return texts


def _joined_paragraphs(
    paragraphs: Sequence[str], at: int, tokenizer: Any, length: int
) -> tuple[list[int], int]:
    """Tokens of paragraphs from `at` on, with an empty line between, until there are `length` or no
    paragraph is left; the first paragraph behind them.
    """
    text: list[str] = []
    ids: list[int] = []
    while len(ids) < length and at < len(paragraphs):
        text.append(paragraphs[at])
        at += 1
        ids = tokenizer.encode("\n\n".join(text), add_special_tokens=False).ids
    return ids, at


def text_windows(
    paragraphs: Sequence[str],
    tokenizer: Any,
    *,
    prefix: Sequence[int],
    text_tokens: int,
    tokens: int,
) -> list[Window]:
    """Windows of the prefix and `text_tokens` tokens of text each, until they hold `tokens` tokens
    of text.

    A window begins where a paragraph does, goes on over the next ones with an empty line between,
    and is cut at its length; the next window begins with the first paragraph that this one has not
    touched. The first token of text is given, not predicted: what the prefix says is in the image,
    and no logits belong to it.

    tokenizer : of the package `tokenizers`; adds no special tokens. ValueError if the text is too
        short: there are windows of whole length only.
    """
    if text_tokens < 2 or tokens < 1:
        raise ValueError(
            f"a window must have at least 2 tokens of text, and there must be at least 1 in all, "
            f"not {text_tokens} and {tokens}"
        )
    windows: list[Window] = []
    at, found = 0, 0
    while found < tokens:
        ids, at = _joined_paragraphs(paragraphs, at, tokenizer, text_tokens)
        if len(ids) < text_tokens:
            raise ValueError(
                f"the text has {found} tokens in windows of {text_tokens}, not {tokens}"
            )
        windows.append(Window(np.array([*prefix, *ids[:text_tokens]], np.int64), len(prefix) + 1))
        found += text_tokens
    return windows
