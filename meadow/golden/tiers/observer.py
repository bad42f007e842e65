# SPDX-License-Identifier: Apache-2.0
"""Who looks at the values between the parts of a model while a tier computes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["Observer", "ignore"]

Observer = Callable[[str, np.ndarray], object]
"""Called with the name of a site and the values there."""


def ignore(site: str, array: np.ndarray) -> None:
    """The observer of a run that nobody observes."""
