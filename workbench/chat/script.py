# SPDX-License-Identifier: Apache-2.0
"""What was said so far, as the tokens that the next answer follows."""

from __future__ import annotations

from abc import ABC, abstractmethod

from firmware.chat_template import ChatTemplate, Message
from firmware.tokenizer import TextTokenizer

__all__ = ["PlainScript", "Script", "TemplateScript", "script_for"]


class Script(ABC):
    """A conversation, which `said` makes longer by a turn.

    Members
    -------
    empty : whether nothing was said yet.
    begins : tokens that the text of an answer is decoded behind, a part of what `tokens` gave.
    """

    @property
    @abstractmethod
    def empty(self) -> bool: ...

    @abstractmethod
    def tokens(self, text: str) -> list[int]:
        """Tokens of the conversation with one more line of the user, up to where the answer
        begins.
        """

    @abstractmethod
    def begins(self, tokens: list[int]) -> list[int]:
        """See the class."""

    @abstractmethod
    def said(self, text: str, answer: str, *, ended: bool) -> None:
        """A line of the user and the answer to it; ended : the model ended it by itself."""

    @abstractmethod
    def forget(self) -> None:
        """Nothing was said."""


class TemplateScript(Script):
    """Turns of a user and an assistant, written by the model's template."""

    def __init__(self, tokenizer: TextTokenizer, template: ChatTemplate) -> None:
        self._tokenizer, self._template = tokenizer, template
        self._messages: list[Message] = []

    @property
    def empty(self) -> bool:
        return not self._messages

    def tokens(self, text: str) -> list[int]:
        rendered = self._template.render([*self._messages, {"role": "user", "content": text}])
        return self._tokenizer.encode_templated(rendered)

    def begins(self, tokens: list[int]) -> list[int]:
        return []

    def said(self, text: str, answer: str, *, ended: bool) -> None:
        self._messages.append({"role": "user", "content": text})
        self._messages.append({"role": "assistant", "content": answer})

    def forget(self) -> None:
        self._messages.clear()


class PlainScript(Script):
    """One text, which user and model continue in turn; behind an end token a new one begins."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._text = ""

    @property
    def empty(self) -> bool:
        return not self._text

    def _with(self, text: str) -> str:
        joined = not self._text or self._text[-1].isspace()
        return self._text + ("" if joined else " ") + text

    def tokens(self, text: str) -> list[int]:
        return self._tokenizer.encode(self._with(text))

    def begins(self, tokens: list[int]) -> list[int]:
        return tokens

    def said(self, text: str, answer: str, *, ended: bool) -> None:
        self._text = "" if ended else self._with(text) + answer

    def forget(self) -> None:
        self._text = ""


def script_for(tokenizer: TextTokenizer, template: ChatTemplate | None) -> Script:
    """By the model's template, or without one plain text."""
    return PlainScript(tokenizer) if template is None else TemplateScript(tokenizer, template)
