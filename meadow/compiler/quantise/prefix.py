# SPDX-License-Identifier: Apache-2.0
"""The prefix: first tokens of every sequence whose keys and values are computed in float.

Whatever token stands first in a chat model's sequence is an attention sink: one channel of its
residual is hundreds of times larger than those of all other tokens (arXiv 2402.17762), and no one
scale serves both. Its K and V are no larger than others. So they are made here, once, rounded with
the ordinary steps, and a sequence begins behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.golden.tiers.float_tier import FloatModel
from meadow.model.prefix import QuantisedPrefix
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8

__all__ = ["first_token_is_sink", "quantised_prefix"]

_SINK_RATIO = 4.0
_PROBED = 64


def quantised_prefix(
    statistics: CalibrationStatistics, description: ModelDescription
) -> QuantisedPrefix | None:
    """The prefix that calibration has seen, in the steps of its K and V; None if there was none."""
    if statistics.prefix_keys is None or statistics.prefix_values is None:
        return None
    rows = []
    for found, kind in ((statistics.prefix_keys, "k_out"), (statistics.prefix_values, "v_out")):
        steps = np.stack([statistics.step(f"layers.{i}.{kind}") for i in range(len(found))])
        units = np.clip(np.rint(found / steps[:, None]), -LIMIT_INT8, LIMIT_INT8).astype(np.int8)
        heads = units.reshape(*units.shape[:2], description.kv_heads, description.head_dim)
        rows.append(np.ascontiguousarray(heads.swapaxes(1, 2)))
    return QuantisedPrefix(tokens=statistics.prefix, keys=rows[0], values=rows[1])


def first_token_is_sink(
    checkpoint: Checkpoint, prefix: Sequence[int], text: Sequence[int] | np.ndarray
) -> bool:
    """Whether the residual of the prefix goes far beyond that of the text behind it: more than four
    times, at any place of the float model.
    """
    d = checkpoint.description
    model = FloatModel(d, KeptTensors(checkpoint.tensors), np.float64, resident=False)
    ids = np.concatenate([np.asarray(prefix, np.int64), np.asarray(text, np.int64)])
    ids = ids[: min(d.max_positions, len(prefix) + _PROBED)]
    first, others = 0.0, 0.0

    def observe(site: str, array: np.ndarray) -> None:
        nonlocal first, others
        if site == "embedding" or ".residual_" in site:
            sizes = np.abs(array).max(axis=1)
            first = max(first, float(sizes[: len(prefix)].max(initial=0.0)))
            others = max(others, float(sizes[len(prefix) :].max(initial=0.0)))

    x = model.embed(ids, np.arange(len(ids)))
    observe("embedding", x)
    for index in range(d.layers):
        x = model.attention_sublayer(index, x, model.new_cache(len(x)), observe=observe)
        x = model.mlp_sublayer(index, x, observe=observe)
    return first > _SINK_RATIO * others
