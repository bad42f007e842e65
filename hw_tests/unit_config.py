# SPDX-License-Identifier: Apache-2.0
"""Configurations as small as a test of one unit needs, of which it names only what matters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meadow.spec.config import AcceleratorConfig, named_config

__all__ = ["lane_config", "unit_config"]


def unit_config(width: int = 16, **changes: Any) -> AcceleratorConfig:
    """Two lanes, one port, 256 activation words, the least of everything else that follows the
    width; `changes` are fields of other values.
    """
    least: dict[str, Any] = {"width": width, "max_context": width, "norm_channels": width}
    least |= {"lanes": 2, "rows": 2, "groups": 2, "ports": 1, "sequences": 2}
    least |= {"max_head_dim": 16, "decoder_elements": 16}
    least |= {"activation_words": 256, "dictionary_entries": 256}
    return AcceleratorConfig(**(least | changes))


def lane_config(
    width: int, lanes: int, rows: int, groups: int, **changes: int
) -> AcceleratorConfig:
    """`tiny` with lanes of another number and size."""
    return replace(
        named_config("tiny"), width=width, lanes=lanes, rows=rows, groups=groups, **changes
    )
