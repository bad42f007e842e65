# SPDX-License-Identifier: Apache-2.0
"""Widths of softmax probabilities and their sums."""

from __future__ import annotations

from meadow.spec.config import AcceleratorConfig

__all__ = ["sum_bits"]


def sum_bits(config: AcceleratorConfig) -> int:
    """Bits of a row's running sum of probabilities, unsigned."""
    return config.probability_bits + (config.max_context - 1).bit_length() + 1
