# SPDX-License-Identifier: Apache-2.0
"""What a program will have room for, from the sizes of model and configuration alone."""

from __future__ import annotations

from meadow.compiler.lowering.layout import (
    choose_hidden_block,
    plan_activations,
    plan_cache,
    plan_sizes,
)
from meadow.spec.config import AcceleratorConfig
from meadow.spec.limits import Limits
from meadow.spec.model import ModelDescription

__all__ = ["plan_limits"]


def plan_limits(
    description: ModelDescription,
    config: AcceleratorConfig,
    *,
    hidden_block: int | None = None,
    context: int | None = None,
    prefix: tuple[int, ...] = (),
) -> Limits:
    """The limits of the image that `compile_image` makes of such a model for any step.

    hidden_block, context: as they are compiled, None as chosen by default; prefix: tokens that
    every sequence will begin behind. CompileError for what the configuration cannot hold.
    """
    block = choose_hidden_block(description, config) if hidden_block is None else hidden_block
    if context is None:
        context = min(description.max_positions, config.max_context)
    plan_cache(description, config, context, prefix=len(prefix))
    plan = plan_activations(plan_sizes(description, block, config), config)
    return Limits(model=description, context=context, chunk_tokens=plan.tokens, prefix=prefix)
