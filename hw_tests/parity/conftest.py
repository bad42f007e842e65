# SPDX-License-Identifier: Apache-2.0
"""The parity tests are collected where torch and transformers are installed (`make parity`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_NEEDED = ("torch", "transformers")

collect_ignore = (
    []
    if all(importlib.util.find_spec(module) for module in _NEEDED)
    else [path.name for path in Path(__file__).parent.glob("test_*.py")]
)
