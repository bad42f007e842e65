# SPDX-License-Identifier: Apache-2.0
"""What a generated text begins with: a text, token numbers, or what a user says in a chat."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.tokenizer import TextTokenizer, TokenizerMissing
from workbench.models.named import NamedModel

__all__ = ["DEFAULT_PROMPT", "Prompt", "parse_tokens"]

DEFAULT_PROMPT = "Once upon a time"


def parse_tokens(text: str) -> list[int]:
    """Token numbers from "1,2,3"; ValueError for anything else, and for what no vocabulary has."""
    try:
        tokens = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"prompt tokens must be numbers like 1,2,3, not {text!r:.60}") from None
    if min(tokens) < 0:
        raise ValueError(f"a prompt token must be at least 0, not {min(tokens)}")
    return tokens


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt as a command line gives it: at most one of them, None is left out.

    text: to continue; numbers: of tokens, see `parse_tokens`; chat: one turn of a user.

    ValueError for more than one, and for numbers that are none.
    """

    text: str | None
    numbers: str | None
    chat: str | None

    def __post_init__(self) -> None:
        given = {"--prompt": self.text, "--prompt-tokens": self.numbers, "--chat": self.chat}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise ValueError(f"give either {names[0]} or {names[1]}, not both")
        if self.numbers is not None:
            parse_tokens(self.numbers)

    def tokens(self, model: NamedModel) -> tuple[list[int], TextTokenizer | None]:
        """Tokens to start with, and the tokenizer if there is one. ValueError for a text without a
        tokenizer, and for a chat without a template or with one that cannot be used.
        """
        try:
            tokenizer = TextTokenizer(model.tokenizer_json)
        except TokenizerMissing:
            if self.text is not None or self.chat is not None:
                raise
            tokenizer = None
        if self.numbers is not None:
            return parse_tokens(self.numbers), tokenizer
        if tokenizer is None:
            return [model.limits.model.bos_token], None
        if self.chat is None:
            return tokenizer.encode(DEFAULT_PROMPT if self.text is None else self.text), tokenizer
        if model.template is None:
            raise ValueError("the model has no chat template: give --prompt, a text to continue")
        said = model.template.render([{"role": "user", "content": self.chat}])
        return tokenizer.encode_templated(said), tokenizer
