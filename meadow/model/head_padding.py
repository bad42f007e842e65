# SPDX-License-Identifier: Apache-2.0
"""How heads are padded to words, and what that makes of the attention output."""

from __future__ import annotations

from meadow.spec.config import BEAT_BYTES
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LARGEST_EXPONENT

__all__ = ["attention_exponent", "padded_head_dim"]


def padded_head_dim(description: ModelDescription, width: int) -> int:
    """A power of two >= 16 up to W, above it a multiple of W, with rotary positions a power of two
    there too: what repeats from head to head is then a power of two of rotary words."""
    head_dim = description.head_dim
    if head_dim > width and not description.rotary_base:
        return -(-head_dim // width) * width
    return max(BEAT_BYTES, 1 << (head_dim - 1).bit_length())


def attention_exponent(description: ModelDescription, width: int) -> int:
    """The exponent that all words of the attention output have, 0 if they have their own.

    Heads narrower than a word share one, and are written one after another: none of them knows its
    exponent. Their output has 8 bits in steps of 2^7, so that an ATTEND needs an output_shift that
    is so much larger, and the matrix behind it the same exponent for all words.
    """
    return LARGEST_EXPONENT if padded_head_dim(description, width) < width else 0
