# SPDX-License-Identifier: Apache-2.0
"""Text to tokens and back with the image's tokenizer.json; needs the package `tokenizers`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meadow.model.image import Image

__all__ = ["TextTokenizer", "TokenizerMissing", "load_tokenizer"]

_CHANCE = ("dropout", "alpha", "nbest_size")
"""Settings of a model that make it encode by chance: of BPE the first, of Unigram the others."""


class TokenizerMissing(ValueError):
    """There is no tokenizer in the image, or no package to read it; the message says what to do."""


def load_tokenizer(data: bytes) -> Any:
    """`tokenizers.Tokenizer` out of the bytes of a tokenizer.json, which encodes a text always to
    its own tokens.

    What training left switched on in the file is switched off: padding and truncation, which fit a
    text to a batch, and dropout and sampling, which choose among its encodings by chance.

    TokenizerMissing if the package is lacking; ValueError if the bytes are no tokenizer, or if the
    package would give an added token another number than the file does, which the model would take
    for another token.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise TokenizerMissing(
            "text needs the package tokenizers: pip install tokenizers, "
            "or give the prompt as token numbers (--prompt-tokens)"
        ) from None
    try:
        text = data.decode("utf-8-sig")
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the package raises plain Exception
        raise ValueError(f"tokenizer.json must hold a tokenizer: {error}") from None
    _check_added(tokenizer, json.loads(text).get("added_tokens") or [])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for setting in _CHANCE:
        if getattr(tokenizer.model, setting, None) is not None:
            setattr(tokenizer.model, setting, None)
    return tokenizer


def _check_added(tokenizer: Any, entries: Sequence[Mapping[str, Any]]) -> None:
    """The package counts added tokens on from the vocabulary in the order of the file, whatever
    stands beside them.
    """
    for entry in entries:
        token, number = entry["content"], entry["id"]
        given = tokenizer.token_to_id(token)
        if given != number:
            raise ValueError(
                f"added tokens of tokenizer.json must number on from its vocabulary: "
                f"{token!r:.40} must be {given}, "
                f"not {number}"
            )


class TextTokenizer:
    """The tokenizer of `image`, or the bytes of a tokenizer.json; TokenizerMissing if it or the
    package is lacking.
    """

    def __init__(self, image: Image | bytes) -> None:
        data = image if isinstance(image, bytes) else image.tokenizer.tobytes()
        if not data:
            raise TokenizerMissing(
                "the image has no tokenizer: give the prompt as token numbers (--prompt-tokens)"
            )
        self._tokenizer = load_tokenizer(data)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, the opening token included if the model has one; ValueError if it is
        not UTF-8.
        """
        return self._encoded(text, add_special_tokens=True)

    def encode_templated(self, text: str) -> list[int]:
        """Tokens of a text that a chat template made: special tokens stand in it, none is added."""
        return self._encoded(text, add_special_tokens=False)

    def _encoded(self, text: str, *, add_special_tokens: bool) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"a prompt must be UTF-8 text, not {text!r:.80}") from None
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens without the special ones."""
        return str(self._tokenizer.decode(list(tokens)))
