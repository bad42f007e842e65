# SPDX-License-Identifier: Apache-2.0
"""What every part of the lowering works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from meadow.compiler.lowering.assembler import Assembler
from meadow.compiler.lowering.baseline.predict import Rate
from meadow.compiler.lowering.heads import HeadLayout
from meadow.compiler.lowering.layout import ActivationPlan, CacheLayout, Sizes
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import AcceleratorConfig

__all__ = ["Lowering"]


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """One model on its way onto one configuration.

    step: (position, new tokens) of the only step that the program has to serve, or None for any;
    a dataflow whose commands depend on the number of keys needs it. rate: DRAM speed that choices
    go by. regions: beats, by name, of the
    further regions that the program uses.
    """

    model: QuantisedModel
    config: AcceleratorConfig
    sizes: Sizes
    plan: ActivationPlan
    cache: CacheLayout
    heads: HeadLayout
    assembler: Assembler
    step: tuple[int, int] | None
    rate: Rate
    regions: dict[str, int] = field(default_factory=dict)
