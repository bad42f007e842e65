# SPDX-License-Identifier: Apache-2.0
"""What `make test` leaves to `make test-all`, and that to `make test-full`: parameters that take
long and try the same rule on a larger case.
"""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["LARGE_CONFIGURATIONS", "long", "slow"]

LARGE_CONFIGURATIONS = ("small", "zcu102", "zcu102-paper", "kv260")
"""A test that simulates one of these as its parameter is slow: its simulator takes minutes to build
(conftest.py).
"""


def slow(*values: Any) -> Any:
    """A case of `pytest.mark.parametrize` that is run by `make test-all` only."""
    return pytest.param(*values, marks=pytest.mark.slow)


def long(*values: Any) -> Any:
    """A case that takes minutes: it is run by `make test-full` only."""
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.long])
