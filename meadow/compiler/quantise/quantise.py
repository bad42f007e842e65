# SPDX-License-Identifier: Apache-2.0
"""Quantisation of a checkpoint to 8-bit weights and activations (W8A8) with a 16-bit residual.

Every activation channel has a static step s (real value of one unit). A matrix with input steps
s_x and output steps s_y is stored as W * s_x, rounded to steps s_w per row, so that

    y / s_y = (sum_i round(W * s_x / s_w)_i * x_i + b / s_w) * (s_w / s_y),

which folds any per-channel factor in at no cost: on norm outputs into the norm's gain, between
v and o, and through the ReLU between fc1 and fc2, into the requantisation multipliers of the
producer. The steps are SmoothQuant's (arXiv 2211.10438, equation 4): max|x|^a / max|W|^(1-a).
"""

from __future__ import annotations

import math

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.calibrate import LOGITS_SITE, CalibrationStatistics
from meadow.compiler.quantise.quantiser import Quantiser
from meadow.compiler.quantise.scales import (
    LIMIT_INT16,
    to_int16,
)
from meadow.model.hidden_blocks import hidden_slices
from meadow.model.quantised import (
    QuantisedModel,
)
from meadow.spec.checks import check_choice
from meadow.spec.model import ModelDescription

__all__ = ["GRANULARITIES", "QUANTISED", "quantise", "require_quantisable"]

GRANULARITIES = ("channel", "tensor")
"""One weight step per output channel, or one per matrix."""

QUANTISED = ("opt",)
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
    smoothing_alpha: float | None = 0.5,
    hidden_block: int | None = None,
    residual_headroom: float = 2.0,
    logits_headroom: float = 2.0,
) -> QuantisedModel:
    """Turn a float checkpoint into integers.

    granularity: "channel" or "tensor", weight steps per output channel or per matrix;
    smoothing_alpha: a of the formula above, 0..1; None gives every site one step for all
        channels;
    hidden_block: H, by default the whole hidden layer;
    residual_headroom, logits_headroom: range of the residual stream and of the logits over the
        largest value that calibration saw, at least 1.

    ValueError for an option out of range, statistics of another model, or a scale that no
    multiplier and shift represent (naming the matrix and the value).
    """
    check_choice("granularity", granularity, GRANULARITIES)
    if smoothing_alpha is not None and not 0 <= smoothing_alpha <= 1:
        raise ValueError(f"smoothing_alpha must be None or 0 to 1, not {smoothing_alpha}")
    for name, value in (
        ("residual_headroom", residual_headroom),
        ("logits_headroom", logits_headroom),
    ):
        if not 1 <= value < math.inf:
            raise ValueError(f"{name} must be at least 1, not {value}")
    d = checkpoint.description
    require_quantisable(d)
    tensors = {name: array.astype(np.float64) for name, array in checkpoint.tensors.items()}
    hidden_block = d.hidden if hidden_block is None else hidden_block

    positions = tensors["embed_positions"][d.position_offset :]
    reach = np.abs(tensors["embed_tokens"]).max(axis=0) + np.abs(positions).max(axis=0)
    residual_range = max(statistics.residual, float(reach.max())) or 1.0
    residual_scale = residual_range * residual_headroom / LIMIT_INT16
    logits_range = float(statistics.site(LOGITS_SITE).max()) or 1.0
    logits_scale = logits_range * logits_headroom / LIMIT_INT16

    blocks = hidden_slices(d.hidden, hidden_block)
    quantiser = Quantiser(
        d, tensors, statistics, granularity, smoothing_alpha, blocks, residual_scale
    )
    head = tensors["embed_tokens" if d.tied_head else "head"]
    head_step = quantiser.input_steps("head_in", {"head": head})
    return QuantisedModel(
        description=d,
        hidden_block=hidden_block,
        layers=tuple(quantiser.layer(index) for index in range(d.layers)),
        final_norm=quantiser.norm("final_norm", head_step),
        head=quantiser.linear(
            "head", head, np.zeros(d.vocabulary), head_step, np.full(d.vocabulary, logits_scale)
        ),
        embed_tokens=to_int16(tensors["embed_tokens"] / residual_scale),
        embed_positions=to_int16(positions / residual_scale),
        residual_scale=residual_scale,
        logits_scale=logits_scale,
        notes={
            "granularity": granularity,
            "smoothing_alpha": smoothing_alpha,
            "calibration_tokens": statistics.tokens,
            "residual_headroom": residual_headroom,
            "logits_headroom": logits_headroom,
        },
    )
