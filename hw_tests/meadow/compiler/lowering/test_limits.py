# SPDX-License-Identifier: Apache-2.0
"""The limits that are planned are those of the image that is compiled."""

from __future__ import annotations

import pytest

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.lowering.layout import CompileError, choose_hidden_block
from meadow.compiler.lowering.limits import plan_limits
from meadow.compiler.synthetic import synthetic_model
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.families import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["tiny", "small"])
@pytest.mark.parametrize(("block", "context"), [(None, None), (16, 9)])
def test_planned_and_compiled_limits_are_the_same(
    family: str, name: str, block: int | None, context: int | None
) -> None:
    config, description = CONFIGURATIONS[name], family_description(family)
    chosen = choose_hidden_block(description, config) if block is None else block
    image = compile_image(
        synthetic_model(description, hidden_block=chosen, seed=salted(0)),
        config,
        config_name=name,
        tokenizer_json=b"",
        context=context,
    )
    planned = plan_limits(description, config, hidden_block=block, context=context)
    assert planned == image.manifest.limits


def test_what_the_configuration_cannot_hold_is_refused() -> None:
    config = CONFIGURATIONS["tiny"]
    description = family_description("opt", width=1024, heads=16, kv_heads=16, head_dim=64)
    with pytest.raises(CompileError, match="padded width must be at most norm_channels"):
        plan_limits(description, config)
    with pytest.raises(CompileError, match="hold the prefix of the model and .* 3 in all, not 2"):
        plan_limits(family_description("opt"), config, context=2, prefix=(1, 2))
    assert plan_limits(family_description("opt"), config, context=3, prefix=(1, 2)).start == 2
    with pytest.raises(CompileError, match="context must be at least 1, not 0"):
        plan_limits(family_description("opt"), config, context=0)
