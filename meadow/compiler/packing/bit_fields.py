# SPDX-License-Identifier: Apache-2.0
"""Fields of equal width as bytes: the building blocks of both packed formats.

Format: `meadow.spec.streams`; first field lowest.
"""

from __future__ import annotations

import numpy as np

from meadow.spec.streams import MODE_BITS, MODES_PER_WORD

__all__ = ["OCTET", "mode_carriers", "mode_words", "pack_octets"]

OCTET = 8
"""Fields that are as many bytes as each has bits: indices of a packet, low bits of a run."""


def pack_octets(fields: np.ndarray, width: int) -> np.ndarray:
    """Bytes uint8 [n, width] of fields [n, 8], each below 2**width."""
    packed = np.zeros((len(fields), width), np.uint8)
    for number in range(OCTET if width else 0):
        first, shift = divmod(number * width, 8)
        value = fields[:, number].astype(np.uint32) << shift
        for byte in range(-(-(shift + width) // 8)):
            packed[:, first + byte] |= (value >> 8 * byte).astype(np.uint8)
    return packed


def mode_words(modes: np.ndarray) -> np.ndarray:
    """Words <u4 [slices, words] of modes uint8 [slices, groups]; modes of no group are 0."""
    slices, groups = modes.shape
    padded = np.zeros((slices, -(-groups // MODES_PER_WORD), MODES_PER_WORD), "<u4")
    padded.reshape(slices, -1)[:, :groups] = modes
    places = np.arange(MODES_PER_WORD, dtype="<u4") * MODE_BITS
    return np.bitwise_or.reduce(padded << places, axis=2)


def mode_carriers(groups: int) -> slice:
    """Groups of a slice that a mode word, the second or a later one, is in front of."""
    words = -(-groups // MODES_PER_WORD)
    return slice(0, (words - 1) * MODES_PER_WORD, MODES_PER_WORD)
