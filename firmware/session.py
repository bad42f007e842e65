# SPDX-License-Identifier: Apache-2.0
"""One model on one device: prompts in chunks, tokens one by one, counted by phase."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property

import numpy as np

from firmware.results import Phase, StepResult
from firmware.step_runner import StepRunner
from meadow.spec.commands import Outputs

__all__ = ["Sampler", "Session"]

Sampler = Callable[[np.ndarray], int]
"""Logits, float32 [vocabulary], to the next token."""


class Session(StepRunner):
    """Prompts taken in and tokens generated, sequence by sequence; see StepRunner for its
    parameters, its single steps and what it raises.

    Members
    -------
    phases : {"prefill": Phase, "decode": Phase}, counted by `prefill` and `decode` since
        `clear_phases`.
    """

    @cached_property
    def phases(self) -> dict[str, Phase]:
        return {"prefill": Phase(), "decode": Phase()}

    def clear_phases(self) -> None:
        """Start counting anew."""
        self.__dict__.pop("phases", None)

    def prefill(
        self,
        tokens: Sequence[int],
        *,
        sequence: int = 0,
        chunk: int | None = None,
        outputs: Outputs = Outputs.ARGMAX,
    ) -> StepResult:
        """Take in a prompt in chunks, of `chunk` tokens each or else equal ones in whole token
        groups; the head runs once.

        At the start of an empty sequence a prompt that begins with the model's prefix loses it, as
        the cache holds it already; any other stands behind the prefix.

        ValueError, before anything runs, for an empty prompt, one that is the prefix and nothing
        else, one longer than the context, tokens beyond the vocabulary, or a chunk larger than the
        image's.
        """
        limit, position = self.manifest.chunk_tokens, self.positions[sequence]
        self.device.check_open()
        self._check_outputs(outputs)
        self.manifest.limits.check_prompt(tokens, chunk=chunk, position=position)
        tokens = self.manifest.limits.own_tokens(tokens, position=position)
        if chunk is None:
            equal = -(-len(tokens) // -(-len(tokens) // limit))
            # Up to a group of T tokens takes the same time.
            chunk = min(limit, -(-equal // self.config.lanes) * self.config.lanes)
        for start in range(0, len(tokens), chunk):
            part = tokens[start : start + chunk]
            final = start + len(part) == len(tokens)
            result = self.step({sequence: part}, outputs=outputs if final else Outputs(0))
            self.phases["prefill"].add(len(part), result.counters)
        assert self.last is not None
        return self.last

    def decode(
        self, token: int, *, sequence: int = 0, outputs: Outputs = Outputs.ARGMAX
    ) -> StepResult:
        """Take in one token."""
        result = self.step({sequence: [token]}, outputs=outputs)
        self.phases["decode"].add(1, result.counters)
        return result

    def generate(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        *,
        sampler: Sampler | None = None,
        chunk: int | None = None,
        sequence: int = 0,
        end_tokens: Collection[int] | None = None,
    ) -> Iterator[int]:
        """Tokens that follow `prompt`, one by one, at most `max_tokens`; an end token is the last
        if one comes.

        sampler: choice from the logits; None takes the device's arg-max. end_tokens: None for those
        of the image. Ends early when the context is full. ValueError at once, not with the first
        token, for what does not fit the image.
        """
        self.device.check_open()
        position = self.positions[sequence]
        self.manifest.limits.check_generation(prompt, max_tokens, chunk=chunk, position=position)
        ends = self.manifest.end_tokens if end_tokens is None else end_tokens
        return self._generated(prompt, max_tokens, sampler, chunk, sequence, ends)

    def _generated(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        sampler: Sampler | None,
        chunk: int | None,
        sequence: int,
        ends: Collection[int],
    ) -> Iterator[int]:
        outputs = Outputs.ARGMAX if sampler is None else Outputs.ARGMAX | Outputs.LOGITS
        result = self.prefill(prompt, sequence=sequence, chunk=chunk, outputs=outputs)
        for index in range(max_tokens):
            token = self._choose(result, sampler)
            yield token
            full = self.positions[sequence] >= self.manifest.context
            if token in ends or full or index + 1 == max_tokens:
                return
            result = self.decode(token, sequence=sequence, outputs=outputs)

    def _choose(self, result: StepResult, sampler: Sampler | None) -> int:
        if sampler is None:
            assert result.tokens is not None
            return int(result.tokens[-1])
        assert result.logits is not None
        return sampler(
            result.logits[-1].astype(np.float32) * np.float32(self.manifest.logits_scale)
        )
