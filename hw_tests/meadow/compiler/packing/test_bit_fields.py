# SPDX-License-Identifier: Apache-2.0
"""Octets and mode words against one long integer."""

from __future__ import annotations

import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.packing.bit_fields import mode_carriers, mode_words, pack_octets
from meadow.golden.streams.parts import unpack_octets


@pytest.mark.parametrize("width", range(13))
def test_octets_are_the_fields_one_behind_the_other(width: int) -> None:
    fields = np.random.default_rng(salted(width)).integers(0, 1 << width, (50, 8)).astype(np.uint16)
    fields[0] = (1 << width) - 1
    packed = pack_octets(fields, width)
    for row, data in zip(fields, packed, strict=True):
        number = sum(int(value) << width * place for place, value in enumerate(row))
        assert data.tobytes() == number.to_bytes(width, "little")
    assert (unpack_octets(packed, width) == fields).all()


@pytest.mark.parametrize("groups", [1, 15, 16, 17, 32, 33, 40])
def test_sixteen_modes_are_a_word_and_missing_ones_zero(groups: int) -> None:
    modes = np.random.default_rng(salted(groups)).integers(0, 4, (3, groups)).astype(np.uint8)
    words = mode_words(modes)
    for row, found in zip(modes, words, strict=True):
        number = sum(int(mode) << 2 * place for place, mode in enumerate(row))
        assert found.tobytes() == number.to_bytes(4 * -(-groups // 16), "little")
    carriers = list(range(groups))[mode_carriers(groups)]
    assert carriers == [first for first in range(0, groups, 16) if first + 16 < groups]
