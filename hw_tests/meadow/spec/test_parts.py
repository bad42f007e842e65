# SPDX-License-Identifier: Apache-2.0
"""What is said where a configuration does not have a part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meadow.spec.commands import Opcode
from meadow.spec.config import named_config
from meadow.spec.parts import MissingPart, require_baseline, require_codec, used_opcodes

ZCU102 = named_config("zcu102")
WITHOUT = replace(named_config("tiny"), codecs=("raw",), baseline=False)
BOTH = "tiny, small, zcu102-paper have one"


def test_a_missing_decoder_is_named_with_the_configurations_that_have_it() -> None:
    with pytest.raises(MissingPart) as error:
        require_codec(ZCU102, "dictionary")
    assert str(error.value) == (
        f"configuration zcu102 has no decoder of codec dictionary (it has raw, rice): {BOTH}"
    )
    with pytest.raises(MissingPart, match=r"^this configuration has no .* rice \(it has raw\): "):
        require_codec(WITHOUT, "rice")


def test_a_missing_softmax_unit_is_named_with_the_configurations_that_have_it() -> None:
    with pytest.raises(MissingPart) as error:
        require_baseline(ZCU102)
    assert str(error.value) == (
        f"configuration zcu102 has no softmax unit for dataflow gemm: {BOTH}"
    )


def test_what_is_there_is_not_refused() -> None:
    for codec in ("raw", "rice"):
        require_codec(ZCU102, codec)
    for codec in ("raw", "dictionary", "rice"):
        require_codec(named_config("zcu102-paper"), codec)
    require_baseline(named_config("tiny"))


def test_the_softmax_of_whole_rows_is_the_only_opcode_of_a_part() -> None:
    assert used_opcodes(named_config("tiny")) == tuple(Opcode)
    assert set(Opcode) - set(used_opcodes(WITHOUT)) == {Opcode.SOFTMAX}
