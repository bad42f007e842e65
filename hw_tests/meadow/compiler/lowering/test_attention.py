# SPDX-License-Identifier: Apache-2.0
"""How query heads are shared out to ATTEND commands, against the rule of Step.outputs_register."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meadow.compiler.lowering.attention import narrow_counts, wide_counts
from meadow.spec.commands import Outputs
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.step import Sequence, Step

ZCU102 = named_config("zcu102-paper")


def fits(counts: tuple[int, ...], tokens: int, config: AcceleratorConfig) -> bool:
    return all(
        1 <= count <= config.lanes and -(-tokens // (config.lanes // count)) <= config.groups
        for count in counts
    )


@pytest.mark.parametrize("name", ["tiny", "small", "zcu102-paper"])
@pytest.mark.parametrize("group", range(1, 41))
def test_counts_cover_the_group_and_fit(name: str, group: int) -> None:
    config = replace(named_config(name), groups=24)
    narrow = narrow_counts(group, config)
    assert sum(narrow) == group and max(narrow) - min(narrow) <= 1
    assert len(narrow) == -(-group // config.lanes)
    for tokens in range(1, config.chunk_tokens + 1):
        step = Step((Sequence(0, 0, tokens),))
        if Outputs.NARROW in step.outputs_register(config, group):
            assert fits(narrow, tokens, config)
        wide = wide_counts(group, tokens, config)
        assert sum(wide) == group and fits(wide, tokens, config)
        assert all(count == wide[0] for count in wide[:-1])
        # Twice as many would not fit, or leave lanes idle.
        twice = 2 * wide[0]
        assert twice > min(group, config.lanes) or not fits((twice,), tokens, config)


def test_counts_of_a_grouped_decoder() -> None:
    assert narrow_counts(8, ZCU102) == (8,)
    assert wide_counts(8, 240, ZCU102) == (2, 2, 2, 2)
    assert wide_counts(8, 640, ZCU102) == (1,) * 8
    assert narrow_counts(40, ZCU102) == (14, 13, 13)
    assert wide_counts(7, 160, ZCU102) == (4, 3)
