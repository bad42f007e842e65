# SPDX-License-Identifier: Apache-2.0
"""What the slowest path of a block may take, in ns, under each delay model; also of paths that come
from another block and end in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from boards.timing.delays import BUDGET, FULL

__all__ = ["DEFAULT_LIMITS", "LIMITS", "MOST_RESET_LOADS", "limits_of"]

DEFAULT_LIMITS: Mapping[str, float] = {FULL.name: 5.0, BUDGET.name: 4.0}
"""4.0 ns, the period of 250 MHz, with wires as one plans them; 5.0 with those of a full device."""

LIMITS: Mapping[str, Mapping[str, float]] = {}
"""Block -> other limits than these; a block without an entry has DEFAULT_LIMITS."""

MOST_RESET_LOADS = 40_000
"""Of all resets of a chip (`boards.timing.resets`)."""


def limits_of(block: str) -> Mapping[str, float]:
    """Model -> ns. A second kind of a block, such as `decoder_2`, has the limits of the first."""
    own = LIMITS.get(block, LIMITS.get(block.rstrip("0123456789").rstrip("_"), {}))
    return {**DEFAULT_LIMITS, **own}
