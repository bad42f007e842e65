# SPDX-License-Identifier: Apache-2.0
"""Calibration: what ranges the activations of a checkpoint take on sample text, and what steps its
heads get.

The first token of a sequence may be a sink, which is far larger than all others wherever it stands
in the residual. Such tokens become a *prefix*: their K and V are computed here, in float, and
ranges leave them out, but for those of K and V.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from meadow.compiler.importers.checkpoint import Checkpoint
from meadow.compiler.quantise.head_steps import query_key_steps, value_steps
from meadow.compiler.quantise.kept_tensors import KeptTensors
from meadow.golden.tiers.float_tier import FloatModel

__all__ = ["LOGITS_SITE", "CalibrationStatistics", "calibrate"]

LOGITS_SITE = "logits"

_HEADS = ("q_out", "k_out", "v_out")
_LOGIT_ROWS = 128
"""Rows of logits that are made together: a vocabulary is wide."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CalibrationStatistics:
    """What calibration found.

    maxima: site of the float tier, and `logits` -> float64 [channels], largest |value| seen; of K
    and V with the prefix, else without it;
    steps: sites `q_out`, `k_out` and `v_out` -> float64 [channels], real value of an INT8 unit;
    tokens: tokens they were taken over, without the prefix;
    prefix: tokens at the beginning of every sequence; prefix_keys, prefix_values: their K and V,
    float64 [layers, tokens, kv_heads * head_dim].
    """

    maxima: Mapping[str, np.ndarray]
    tokens: int
    steps: Mapping[str, np.ndarray] = field(default_factory=dict)
    prefix: tuple[int, ...] = ()
    prefix_keys: np.ndarray | None = None
    prefix_values: np.ndarray | None = None

    def site(self, name: str) -> np.ndarray:
        """Maxima [channels] of a site; ValueError if it was not seen or is not finite."""
        return _found(self.maxima, "maxima", name)

    def step(self, name: str) -> np.ndarray:
        """Steps [channels] of Q, K or V; ValueError as `site`."""
        return _found(self.steps, "steps", name)

    @property
    def residual(self) -> float:
        """Largest |value| of the residual stream anywhere."""
        return max(
            float(self.site(name).max(initial=0.0))
            for name in self.maxima
            if name == "embedding" or ".residual_" in name
        )


def calibrate(
    checkpoint: Checkpoint,
    sequences: Iterable[Sequence[int] | np.ndarray],
    *,
    prefix: Sequence[int] = (),
) -> CalibrationStatistics:
    """Run the float tier over token sequences, each behind the prefix, and keep every site's maxima
    and the steps of Q, K and V.

    With the prefix a sequence starts at position 0; one longer than `max_positions` is cut. All
    sequences pass a layer before the next one, and only one layer is held. The tier runs in
    float64, and maxima and the values behind the steps are rounded to float32, so that neither
    machine nor threads change a bit of what is made from them. ValueError if there is no token, or
    for a prefix of a model that is not causal.
    """
    d = checkpoint.description
    if prefix and not d.causal:
        raise ValueError("a model that is not causal must have no prefix")
    cut = d.max_positions - len(prefix)
    texts = [np.asarray(sequence)[:cut] for sequence in sequences]
    texts = [text for text in texts if text.size]
    if not texts:
        raise ValueError("calibration needs at least one token, not none")
    ids = [np.concatenate([np.asarray(prefix, np.int64), text]) for text in texts]
    tensors = KeptTensors(checkpoint.tensors)
    model = FloatModel(d, tensors, np.float64, resident=False)
    walk = _Walk(model, len(prefix))
    rows = [model.embed(part, np.arange(len(part))) for part in ids]
    for part in rows:
        walk.observe("embedding", part)
    for index in range(d.layers):
        for at, part in enumerate(rows):
            cache = model.new_cache(len(part))
            x = model.attention_sublayer(index, part, cache, observe=walk.observe)
            rows[at] = model.mlp_sublayer(index, x, observe=walk.observe)
        walk.end_layer(f"layers.{index}.", tensors)
    for part in rows:
        behind = part[len(prefix) :]
        for start in range(0, len(behind), _LOGIT_ROWS):
            piece = behind[start : start + _LOGIT_ROWS]
            walk.keep(LOGITS_SITE, model.output(piece, observe=walk.keep))
    keys, values = (
        np.stack(found) if prefix else None for found in (walk.prefix_keys, walk.prefix_values)
    )
    return CalibrationStatistics(
        maxima=walk.maxima,
        steps=walk.steps,
        tokens=sum(map(len, texts)),
        prefix=tuple(int(token) for token in prefix),
        prefix_keys=keys,
        prefix_values=values,
    )


class _Walk:
    """What is collected on the way through the layers."""

    def __init__(self, model: FloatModel, prefix: int) -> None:
        self._model, self._prefix = model, prefix
        self.maxima: dict[str, np.ndarray] = {}
        self.steps: dict[str, np.ndarray] = {}
        self.prefix_keys: list[np.ndarray] = []
        self.prefix_values: list[np.ndarray] = []
        self._samples: dict[str, list[np.ndarray]] = {kind: [] for kind in _HEADS}

    def observe(self, site: str, array: np.ndarray) -> None:
        """Take in what a whole sequence has at a site."""
        kind = site.rpartition(".")[2]
        part = array if kind in ("k_out", "v_out") else array[self._prefix :]
        if kind in _HEADS:
            self._samples[kind].append(part.astype(np.float32))
        self.keep(site, part)

    def keep(self, site: str, array: np.ndarray) -> None:
        """Take rows into the maxima of a site."""
        seen = np.abs(array).max(axis=0).astype(np.float32).astype(np.float64)
        self.maxima[site] = np.maximum(self.maxima[site], seen) if site in self.maxima else seen

    def end_layer(self, layer: str, tensors: Mapping[str, np.ndarray]) -> None:
        """All sequences have passed a layer: its steps follow from what was seen."""
        d = self._model.description
        if self._prefix:
            for kind, kept in (("k_out", self.prefix_keys), ("v_out", self.prefix_values)):
                # They are the same in every sequence.
                kept.append(self._samples[kind][0][: self._prefix].astype(np.float64))
        q, k, v = (np.concatenate(self._samples[kind]) for kind in _HEADS)
        q_step, k_step = query_key_steps(q, k, d)
        v_step = value_steps(v, tensors[f"{layer}o.weight"], d)
        for kind, step in zip(_HEADS, (q_step, k_step, v_step), strict=True):
            self.steps[layer + kind] = step
            self._samples[kind].clear()


def _found(values: Mapping[str, np.ndarray], what: str, name: str) -> np.ndarray:
    if name not in values:
        raise ValueError(f"the calibration statistics must hold the site {name}")
    found = values[name]
    if not np.isfinite(found).all():
        raise ValueError(f"calibration {what} must be finite, not so at {name}")
    return found
