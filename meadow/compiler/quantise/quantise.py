# SPDX-License-Identifier: Apache-2.0
"""Quantisation of a checkpoint to 8-bit weights and activations (W8A8) with a 16-bit residual.

A matrix with input steps s_x and output steps s_y (real values of one unit, per channel) is stored
as W * s_x, rounded to steps s_w per row, so that

    y / s_y = (sum_i round(W * s_x / s_w)_i * x_i + b / s_w) * (s_w / s_y).

What feeds a matrix is a word with an exponent: 16-bit values in steps of 1/16,256 of the largest
value that calibration saw, of which the hardware keeps 8 bits and the word's exponent. One step
serves the whole site, since each word chooses its own. Q, K and V are 8-bit values with one scale
per KV head (`head_steps`); the residual has 16 bits and one step for the whole model.
"""

from __future__ import annotations

import math

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.calibrate import LOGITS_SITE, CalibrationStatistics
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.compiler.quantise.prefix import quantised_prefix
from meadow.compiler.quantise.quantiser import Quantiser
from meadow.compiler.quantise.scales import LIMIT_INT16, rotary_table, to_int16
from meadow.model.hidden_blocks import hidden_slices
from meadow.model.quantised import QuantisedModel
from meadow.spec.checks import check_choice
from meadow.spec.model import ModelDescription

__all__ = ["GRANULARITIES", "QUANTISED", "quantise", "require_quantisable"]

GRANULARITIES = ("channel", "tensor")
"""One weight step per output channel, or one per matrix."""

QUANTISED = ("llama", "opt", "qwen2")
"""Architectures of checkpoints that become integers; others run in the float tier only."""


def require_quantisable(description: ModelDescription) -> None:
    """ValueError for a model that cannot be quantised."""
    if description.architecture not in QUANTISED:
        raise ValueError(
            f"models of architecture {', '.join(QUANTISED)} can be quantised, "
            f"not of {description.architecture}, which runs in float only"
        )


def quantise(
    checkpoint: Checkpoint,
    statistics: CalibrationStatistics,
    *,
    granularity: str = "channel",
    hidden_block: int | None = None,
    residual_headroom: float = 1.25,
    logits_headroom: float = 2.0,
) -> QuantisedModel:
    """Turn a float checkpoint into integers, a layer at a time.

    granularity: "channel" or "tensor", weight steps per output channel or per matrix;
    hidden_block: H, by default the whole hidden layer;
    residual_headroom, logits_headroom: range of the residual stream and of the logits over the
        largest value that calibration saw, at least 1.

    ValueError for an option out of range, statistics of another model, or a scale that no
    multiplier and shift represent (naming the matrix and the value).
    """
    check_choice("granularity", granularity, GRANULARITIES)
    for name, value in (
        ("residual_headroom", residual_headroom),
        ("logits_headroom", logits_headroom),
    ):
        if not 1 <= value < math.inf:
            raise ValueError(f"{name} must be at least 1, not {value}")
    d = checkpoint.description
    require_quantisable(d)
    hidden_block = d.hidden if hidden_block is None else hidden_block
    blocks = hidden_slices(d.hidden, hidden_block)
    tensors = KeptTensors(checkpoint.tensors)

    tables = [tensors["embed_tokens"]]
    if not d.rotary_base:
        tables.append(tensors["embed_positions"][d.position_offset :])
    reach = _reach(tables, statistics.prefix)
    residual_range = max(statistics.residual * residual_headroom, reach) or 1.0
    residual_scale = residual_range / LIMIT_INT16
    embed_tokens, *positions = (to_int16(table / residual_scale) for table in tables)
    del tables
    logits_range = float(statistics.site(LOGITS_SITE).max()) or 1.0
    logits_scale = logits_range * logits_headroom / LIMIT_INT16

    quantiser = Quantiser(d, tensors, statistics, granularity, blocks, residual_scale)
    head = tensors["embed_tokens" if d.tied_head else "head"]
    head_step = quantiser.norm_step("head_in", "final_norm")
    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        final_norm=quantiser.norm("final_norm", head_step),
        head=quantiser.linear(
            "head", head, np.zeros(d.vocabulary), head_step, np.full(d.vocabulary, logits_scale)
        ),
        layers=tuple(quantiser.layer(index) for index in range(d.layers)),
        embed_tokens=embed_tokens,
        embed_positions=positions[0] if positions else None,
        rotary=rotary_table(d) if d.rotary_base else None,
        prefix=quantised_prefix(statistics, d),
        residual_scale=residual_scale,
        logits_scale=logits_scale,
        notes={
            "granularity": granularity,
            "calibration_tokens": statistics.tokens,
            "residual_headroom": residual_headroom,
            "logits_headroom": logits_headroom,
        },
    )


def _reach(tables: list[np.ndarray], prefix: tuple[int, ...]) -> float:
    """Largest |value| that any token at any position can bring into the residual, so that one which
    calibration never saw does not saturate. The prefix does not count: it never comes in.
    """
    tokens, *positions = (np.abs(table) for table in tables)
    reach = np.delete(tokens, prefix, axis=0).max(axis=0, initial=0.0)
    for table in positions:
        reach = reach + table[len(prefix) :].max(axis=0)
    return float(reach.max())
