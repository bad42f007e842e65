# SPDX-License-Identifier: Apache-2.0
"""What a compiled program has room for: known before it is compiled, and checked before anything
runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meadow.spec.model import ModelDescription

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Model and sizes that requests must fit.

    model: description; context: tokens per sequence, those of the prefix included; chunk_tokens:
    tokens of the largest chunk; prefix: tokens that every sequence begins behind.

    The checks raise ValueError, which names the rule and the value.
    """

    model: ModelDescription
    context: int
    chunk_tokens: int
    prefix: tuple[int, ...] = ()

    @property
    def start(self) -> int:
        """Position of the first token of a sequence."""
        return len(self.prefix)

    def own_tokens(self, prompt: Sequence[int], *, position: int | None = None) -> Sequence[int]:
        """The tokens of a prompt that a sequence of `position` cached tokens takes in.

        One that begins with the prefix, at the start of an empty sequence, loses it, once; any
        other stands behind the prefix.
        """
        empty = position is None or position == self.start
        begins = tuple(prompt[: self.start]) == self.prefix
        return prompt[self.start :] if empty and begins else prompt

    def check_generation(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        chunk: int | None = None,
        position: int | None = None,
    ) -> None:
        """Whether up to `max_tokens` tokens can be generated behind a prompt; see
        `check_prompt`.
        """
        if not (self.model.causal and self.model.outputs == "tokens"):
            raise ValueError(
                f"a model of architecture {self.model.architecture!r} generates no tokens"
            )
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {max_tokens}")
        self.check_prompt(prompt, chunk=chunk, position=position)

    def check_prompt(
        self, tokens: Sequence[int], *, chunk: int | None = None, position: int | None = None
    ) -> None:
        """Whether a sequence of `position` cached tokens, by default an empty one, can take in a
        prompt, in chunks of `chunk` tokens.

        A prompt that is the prefix and nothing else is refused: there is no token to run.
        """
        limit = self.chunk_tokens
        if len(tokens) == 0:
            raise ValueError("a prompt must have at least 1 token, not 0")
        position = self.start if position is None else position
        tokens = self.own_tokens(tokens, position=position)
        if len(tokens) == 0:
            raise ValueError(
                "a prompt must have at least 1 token beside the prefix "
                f"{list(self.prefix)!s:.60}, which every sequence begins behind, not 0"
            )
        if chunk is not None and not 1 <= chunk <= limit:
            raise ValueError(f"a chunk of this image holds 1..{limit} tokens, not {chunk}")
        room = self.context - position
        if len(tokens) > room:
            raise ValueError(
                f"the prompt has {len(tokens)} tokens, the context of this image holds {room} more "
                f"of {self.context}"
            )
        if not self.model.causal and len(tokens) > (limit if chunk is None else chunk):
            raise ValueError(
                "the tokens of a model that is not causal must be one chunk: "
                f"it holds {limit if chunk is None else chunk} tokens, not {len(tokens)}"
            )
        self.check_tokens(tokens)

    def check_tokens(self, tokens: Sequence[int]) -> None:
        """Whether all tokens are of the vocabulary."""
        last = self.model.vocabulary - 1
        wrong = next((token for token in tokens if not 0 <= token <= last), None)
        if wrong is not None:
            raise ValueError(f"a token must be in 0..{last}, not {wrong}")
