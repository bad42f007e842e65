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

    model: description; context: tokens per sequence; chunk_tokens: tokens of the largest chunk.

    The checks raise ValueError, which names the rule and the value.
    """

    model: ModelDescription
    context: int
    chunk_tokens: int

    def check_generation(
        self, prompt: Sequence[int], max_tokens: int, *, chunk: int | None = None, position: int = 0
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
        self, tokens: Sequence[int], *, chunk: int | None = None, position: int = 0
    ) -> None:
        """Whether a sequence of `position` cached tokens can take in a prompt, in chunks of `chunk`
        tokens.
        """
        limit = self.chunk_tokens
        if len(tokens) == 0:
            raise ValueError("a prompt must have at least 1 token, not 0")
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
