# SPDX-License-Identifier: Apache-2.0
"""The parity tests are collected where torch and transformers are installed (`make parity`)."""

from __future__ import annotations

import importlib.util

_NEEDED = ("torch", "transformers")

collect_ignore = (
    []
    if all(importlib.util.find_spec(module) for module in _NEEDED)
    else ["test_hub_folders.py", "test_train.py", "test_transformers.py"]
)
