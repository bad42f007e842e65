# SPDX-License-Identifier: Apache-2.0
"""The step registers of a unit."""

from __future__ import annotations

from typing import Any

from meadow.spec.step import Step

__all__ = ["set_step"]


def set_step(ctx: Any, port: Any, step: Step) -> None:
    """Drive a step_layout port as the registers would."""
    ctx.set(port.rows, step.rows)
    ctx.set(port.sequences, len(step.sequences))
    ctx.set(port.head_all, step.head_all)
    for entry, sequence in zip(port.entries, step.sequences, strict=False):
        ctx.set(entry.position, sequence.position)
        ctx.set(entry.tokens, sequence.tokens)
        ctx.set(entry.first_row, sequence.first_row)
