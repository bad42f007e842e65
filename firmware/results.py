# SPDX-License-Identifier: Apache-2.0
"""What a step returned, and sums over the steps of a phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Phase", "StepResult"]


@dataclass(frozen=True, eq=False)
class StepResult:
    """What a step returned.

    tokens, values: arg-max token and its logit of each head row, int32 [rows], None unless asked
        for;
    logits: int16 [rows, vocabulary], of a model with the outputs "hidden" its residual int16 [rows,
    d], None unless asked for; counters: of the device, by name.
    """

    tokens: np.ndarray | None
    values: np.ndarray | None
    logits: np.ndarray | None
    counters: dict[str, int]

    @property
    def next_tokens(self) -> list[int]:
        """The arg-max token of each head row; ValueError if the step was not asked for
        Outputs.ARGMAX.
        """
        if self.tokens is None:
            raise ValueError("this step has no tokens: it was not asked for Outputs.ARGMAX")
        return [int(token) for token in self.tokens]


@dataclass
class Phase:
    """Sums over the steps of a phase: tokens taken in, steps, and every counter of the device."""

    tokens: int = 0
    steps: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    def add(self, tokens: int, counters: Mapping[str, int]) -> None:
        """Count one more step."""
        self.tokens += tokens
        self.steps += 1
        for name, value in counters.items():
            self.counters[name] = self.counters.get(name, 0) + value
