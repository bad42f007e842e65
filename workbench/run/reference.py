# SPDX-License-Identifier: Apache-2.0
"""What a device's tokens are compared with: the bit-true model, which knows nothing of commands or
packing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from firmware.golden_device import GoldenDevice
from firmware.results import StepResult
from firmware.session import Session
from meadow.golden.sampling import greedy
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.commands import Outputs
from workbench.models.cached import Loaded

__all__ = ["Reference", "difference", "reference_for"]


class Reference(Protocol):
    """One sequence of the golden model; `name` says which golden model it is."""

    name: str

    def follow(self, tokens: Sequence[int]) -> np.ndarray:
        """Take in tokens as `Session.prefill` does; logits int16 [vocabulary] of the last one."""
        ...

    def rewind(self, position: int) -> None:
        """Forget what was taken in from `position` on, the prefix counted."""
        ...


class _BitTrue:
    name = "bit_true"

    def __init__(self, loaded: Loaded) -> None:
        assert loaded.quantised is not None
        self._model = BitTrueModel(loaded.quantised, loaded.image.manifest.config)
        self._cache = self._model.new_cache()
        self._limits = loaded.image.manifest.limits

    def follow(self, tokens: Sequence[int]) -> np.ndarray:
        own = self._limits.own_tokens(tokens, position=self._cache.length)
        return self._model.forward(list(own), self._cache, head_rows=[len(own) - 1])[0]

    def rewind(self, position: int) -> None:
        self._cache.length = position


class _Machine:
    name = "machine"

    def __init__(self, loaded: Loaded) -> None:
        image = loaded.image
        device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
        self._session = Session(device, image)

    def follow(self, tokens: Sequence[int]) -> np.ndarray:
        result = self._session.prefill(tokens, outputs=Outputs.LOGITS)
        assert result.logits is not None
        return result.logits[-1]

    def rewind(self, position: int) -> None:
        self._session.rewind(position=position)


def reference_for(loaded: Loaded) -> Reference:
    """The bit-true model where the quantised model is known, else (an image file) the golden
    machine.
    """
    return _BitTrue(loaded) if loaded.quantised is not None else _Machine(loaded)


def difference(result: StepResult, expected: np.ndarray) -> str | None:
    """How a device's step differs from the golden logits of its last row, None if it does not."""
    if result.tokens is not None and result.values is not None:
        best = greedy(expected)
        got = int(result.tokens[-1]), int(result.values[-1])
        if got != (best, int(expected[best])):
            return f"arg-max is token {got[0]} with {got[1]}, golden {best} with {expected[best]}"
    if result.logits is not None:
        wrong = np.flatnonzero(result.logits[-1] != expected)
        if wrong.size:
            first = int(wrong[0])
            return (
                f"{wrong.size} logits differ, first token {first}: "
                f"{result.logits[-1][first]}, golden {expected[first]}"
            )
    return None
