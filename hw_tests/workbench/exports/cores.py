# SPDX-License-Identifier: Apache-2.0
"""Cores for the tests of exported files."""

from __future__ import annotations

from functools import cache

from meadow.spec.config import CONFIGURATIONS
from workbench.exports.core import Core, described_core

__all__ = ["TOP", "named_core"]

TOP = "any_top"
"""No exported file may count on the usual name."""


@cache
def named_core(configuration: str) -> Core:
    """The core of a named configuration."""
    return described_core(configuration, CONFIGURATIONS[configuration], TOP)
