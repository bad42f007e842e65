# SPDX-License-Identifier: Apache-2.0
"""Text to tokens and back with the image's tokenizer.json; needs the package `tokenizers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meadow.golden.image import Image

__all__ = ["TextTokenizer", "TokenizerMissing"]


class TokenizerMissing(ValueError):
    """There is no tokenizer in the image, or no package to read it; the message says what to do."""


class TextTokenizer:
    """The tokenizer of `image`; TokenizerMissing if the image or the package is lacking."""

    def __init__(self, image: Image) -> None:
        data = image.tokenizer.tobytes()
        if not data:
            raise TokenizerMissing(
                "the image has no tokenizer: give the prompt as token numbers (--prompt-tokens)"
            )
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise TokenizerMissing(
                "text needs the package tokenizers: pip install tokenizers, "
                "or give the prompt as token numbers (--prompt-tokens)"
            ) from None
        self._tokenizer: Any = Tokenizer.from_str(data.decode())

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, the opening token included if the model has one."""
        return list(self._tokenizer.encode(text).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens without the special ones."""
        return str(self._tokenizer.decode(list(tokens)))
