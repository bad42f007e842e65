# SPDX-License-Identifier: Apache-2.0
"""A text that grows token by token: what of it can be shown, so that what was shown is the text in
the end.

A token may end inside a character, whose bytes decode to U+FFFD until the rest has come, and a
decoder may write its last tokens otherwise once others follow. What was shown cannot be taken back.
So a text is what has been shown of it: a piece is settled when nothing incomplete stands behind it,
it stays as it is, and what follows is taken from the decoding of all tokens from the same place on.
The rest, which nothing will complete, is settled when the text ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os.path import commonprefix

from firmware.tokenizer import TextTokenizer
from workbench.console import say

__all__ = ["GrowingText", "TextStream"]

_INCOMPLETE = "\ufffd"


class GrowingText:
    """The text of a prompt and of the tokens generated behind it.

    decode: tokens to text; prompt: its tokens.

    Members
    -------
    shown : all text settled so far, the prompt's included; it only grows.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._tokens = list(prompt)
        # The longest start of the prompt that ends with a whole character.
        whole = len(self._tokens)
        while whole and decode(self._tokens[:whole]).endswith(_INCOMPLETE):
            whole -= 1
        self.shown = decode(self._tokens[:whole]) if whole else ""
        self._prompt = self.shown + decode(self._tokens)[len(self.shown) :]

    def push(self, token: int) -> str:
        """Take in a token; the text that is settled by it, often empty."""
        self._tokens.append(token)
        return self._settle(self._decode(self._tokens).rstrip(_INCOMPLETE))

    def finish(self) -> str:
        """No token follows: the rest of the text, bytes without a character as U+FFFD."""
        return self._settle(self._decode(self._tokens))

    def generated(self) -> str:
        """What of the shown text is not the prompt's: a character that a token completes is the
        token's.
        """
        return self.shown[len(commonprefix([self._prompt, self.shown])) :]

    def _settle(self, text: str) -> str:
        piece = text[len(self.shown) :]
        self.shown += piece
        return piece


class TextStream:
    """Prints a generated text piece by piece, or token numbers where there is no tokenizer.

    The text that is printed and the one that `text` returns are the same for the same tokens.
    """

    def __init__(self, tokenizer: TextTokenizer | None, prompt: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._growing: GrowingText | None = None

    def show(self, tokens: Sequence[int]) -> None:
        """Print what the last of the tokens generated so far adds, the first time behind the
        prompt.
        """
        if self._tokenizer is None:
            say(f"{tokens[-1]} ", nl=False)
            return
        if self._growing is None:
            self._growing = GrowingText(self._tokenizer.decode, self._prompt)
            say(self._growing.shown, nl=False)
        say(self._growing.push(tokens[-1]), nl=False)

    def finish(self) -> None:
        """Print what was held back, and end the line."""
        say("" if self._growing is None else self._growing.finish())

    def text(self, tokens: Sequence[int]) -> str | None:
        """The generated text, as it is or would be shown; None without tokenizer."""
        if self._tokenizer is None:
            return None
        growing = GrowingText(self._tokenizer.decode, self._prompt)
        for token in tokens:
            growing.push(token)
        growing.finish()
        return growing.generated()
