# SPDX-License-Identifier: Apache-2.0
"""Steps and integers of the matrices and norms of a checkpoint; `quantise` has the formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.scales import (
    LIMIT_INT16,
    fitting_shift,
    output_parts,
    scale_parts,
    to_int16,
)
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedNorm
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, SCORE_FRACTION_BITS

__all__ = ["Quantiser"]

_INT32 = (1 << 31) - 1


# A channel that calibration saw (nearly) silent gets the step of one this much below the loudest.
_SILENT = 1e-4


# A bias is at most this many accumulator units, which leaves the products room in 32 bits.
_BIAS_LIMIT = 1 << 30


@dataclass(frozen=True)
class Quantiser:
    """Steps and integers of one checkpoint; all folds in float64.

    tensors : float64, by canonical name. statistics : of the calibration.
    granularity, smoothing_alpha : as `quantise` takes them.
    blocks : hidden channels of each part of the second MLP matrix.
    residual_scale : step of the residual stream.
    """

    description: ModelDescription
    tensors: Mapping[str, np.ndarray]
    statistics: CalibrationStatistics
    granularity: str
    smoothing_alpha: float | None
    blocks: tuple[slice, ...]
    residual_scale: float

    def maxima(self, site: str, channels: int) -> np.ndarray:
        """Calibrated maxima [channels] of a site, silent channels lifted, never 0."""
        maxima = self.statistics.site(site)
        if maxima.shape != (channels,):
            raise ValueError(f"site {site} must have {channels} channels, not {maxima.shape[0]}")
        return _lifted(maxima)

    def input_steps(self, site: str, consumers: Mapping[str, np.ndarray]) -> np.ndarray:
        """Steps [in] of the input of matrices [out, in]: the largest value seen is 127 units."""
        weight = np.concatenate(list(consumers.values()))
        return self.smoothed(self.maxima(site, weight.shape[1]), weight)

    def smoothed(self, maxima: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Steps [in] for inputs of these maxima [in] that go into a weight [out, in]."""
        if self.smoothing_alpha is None:
            return np.full(len(maxima), maxima.max() / LIMIT_INT8)
        columns = _lifted(np.abs(weight).max(axis=0))
        factor = maxima**self.smoothing_alpha / columns ** (1 - self.smoothing_alpha)
        return factor * ((maxima / factor).max() / LIMIT_INT8)

    def layer(self, index: int) -> QuantisedLayer:
        """Decoder layer `index`."""
        d = self.description
        name = f"layers.{index}."
        weight = {
            part: self.tensors[f"{name}{part}.weight"]
            for part in ("q", "k", "v", "o", "fc1", "fc2")
        }
        bias = {part: self.tensors[f"{name}{part}.bias"] for part in weight}

        def matrix(part: str, inputs: np.ndarray, outputs: np.ndarray) -> QuantisedLinear:
            return self.linear(name + part, weight[part], bias[part], inputs, outputs)

        qkv_step = self.input_steps(name + "qkv_in", {part: weight[part] for part in "qkv"})
        q_step, k_step, score_scale = self._score_steps(name)
        v_step, o_step, output_scale = self._value_steps(name, weight["o"])
        score = scale_parts(score_scale, name + "scores")
        output_multiplier, output_shift = output_parts(output_scale, name + "attention")
        fc1_step = self.input_steps(name + "fc1_in", {"fc1": weight["fc1"]})
        fc2_step = self.input_steps(name + "fc2_in", {"fc2": weight["fc2"]})
        residual_step = np.full(d.width, self.residual_scale)
        return QuantisedLayer(
            attention_norm=self.norm(name + "attention_norm", qkv_step),
            q=matrix("q", qkv_step, q_step),
            k=matrix("k", qkv_step, k_step),
            v=matrix("v", qkv_step, v_step),
            o=matrix("o", o_step, residual_step),
            mlp_norm=self.norm(name + "mlp_norm", fc1_step),
            fc1=matrix("fc1", fc1_step, fc2_step),
            fc2=self._hidden_blocks(name + "fc2", weight["fc2"], bias["fc2"], fc2_step),
            score_multiplier=tuple(score[0].tolist()),
            score_shift=tuple(score[1].tolist()),
            output_multiplier=output_multiplier,
            output_shift=output_shift,
        )

    def _score_steps(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps of q [heads*e] and k [kv_heads*e], and the scale of q.k per KV head.

        A factor of a channel of K and its inverse on Q cancel in the score, so both get the
        geometric mean of their maxima; query heads of a KV head share their steps.
        """
        d = self.description
        group = d.heads // d.kv_heads
        q = self.maxima(name + "q_out", d.heads * d.head_dim)
        q = q.reshape(d.kv_heads, group, d.head_dim).max(axis=1)
        k = self.maxima(name + "k_out", d.kv_heads * d.head_dim).reshape(d.kv_heads, d.head_dim)
        factor = np.ones_like(q) if self.smoothing_alpha is None else np.sqrt(q / k)
        q_scale = (q / factor).max(axis=1) / LIMIT_INT8
        k_scale = (k * factor).max(axis=1) / LIMIT_INT8
        q_step = np.repeat((q_scale[:, None] * factor)[:, None], group, axis=1)
        k_step = k_scale[:, None] / factor
        base_two = math.log2(math.e) * (1 << SCORE_FRACTION_BITS) / math.sqrt(d.head_dim)
        return q_step.reshape(-1), k_step.reshape(-1), q_scale * k_scale * base_two

    def _value_steps(
        self, name: str, o_weight: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Steps of v [kv_heads*e] and of o's input [heads*e], and their ratio per KV head.

        Attention mixes positions, never channels, so a channel of its output has the step of V
        over the ratio that lets the calibrated output reach 127.
        """
        d = self.description
        group = d.heads // d.kv_heads
        v = self.maxima(name + "v_out", d.kv_heads * d.head_dim).reshape(d.kv_heads, d.head_dim)
        o = self.maxima(name + "o_in", d.heads * d.head_dim)
        o = o.reshape(d.kv_heads, group, d.head_dim).max(axis=1)
        columns = o_weight.reshape(-1, d.kv_heads, d.head_dim)
        v_step = np.stack([self.smoothed(v[h], columns[:, h]) for h in range(d.kv_heads)])
        ratio = LIMIT_INT8 / (o / v_step).max(axis=1)
        o_step = np.repeat((v_step / ratio[:, None])[:, None], group, axis=1)
        return v_step.reshape(-1), o_step.reshape(-1), ratio

    def _hidden_blocks(
        self, name: str, weight: np.ndarray, bias: np.ndarray, step: np.ndarray
    ) -> tuple[QuantisedLinear, ...]:
        """fc2 [d, hidden] as one matrix per hidden block, the bias in block 0."""
        residual_step = np.full(len(weight), self.residual_scale)
        whole = float(np.abs(weight * step).max())
        return tuple(
            self.linear(
                name,
                weight[:, block],
                np.zeros_like(bias) if index else bias,
                step[block],
                residual_step,
                largest=whole,
            )
            for index, block in enumerate(self.blocks)
        )

    def linear(
        self,
        name: str,
        weight: np.ndarray,
        bias: np.ndarray,
        input_step: np.ndarray,
        output_step: np.ndarray,
        *,
        largest: float | None = None,
    ) -> QuantisedLinear:
        """Weight [out, in] and bias [out] between channels of these steps.

        largest: of |weight * input_step| in the whole matrix, where `weight` is a part of it.
        """
        folded = weight * input_step
        rows = np.abs(folded).max(axis=1)
        if self.granularity == "tensor":
            rows = np.full_like(rows, rows.max() if largest is None else largest)
        # A row of small weights under a large bias is given up to the bias' precision.
        step = np.maximum(rows / LIMIT_INT8, np.abs(bias) / _BIAS_LIMIT)
        silent = step == 0
        divisor = np.where(silent, 1.0, step)
        if not (np.isfinite(divisor).all() and np.isfinite(output_step).all()):
            raise ValueError(f"weights, biases and steps of {name} must be finite")
        multiplier, shift = scale_parts(np.where(silent, 0.0, step) / output_step, name)
        integers = np.clip(np.rint(folded / divisor[:, None]), -LIMIT_INT8, LIMIT_INT8)
        return QuantisedLinear(
            weight=integers.astype(np.int8),
            bias=np.clip(np.rint(bias / divisor), -_INT32, _INT32).astype(np.int32),
            multiplier=multiplier,
            shift=shift,
        )

    def norm(self, name: str, step: np.ndarray) -> QuantisedNorm:
        """Norm `name` with outputs of these steps [d]; see `numerics.layer_norm_row`.

        n = (x - mean) / deviation * 2^f / d, and |x - mean| / deviation <= sqrt(d) always: f is
        the largest that keeps n within 16 bits, and norm_shift = 19 - f (4 bits of the mean's
        fraction, 15 of the reciprocal root).
        """
        d = self.description.width
        fraction = math.floor(math.log2(LIMIT_INT16 * math.sqrt(d)))
        gain = self.tensors[f"{name}.weight"] / step * (d / 2.0**fraction)
        offset = self.tensors[f"{name}.bias"] / step
        if not (np.isfinite(gain).all() and np.isfinite(offset).all()):
            raise ValueError(f"gain and offset of {name} must be finite")
        largest_gain, largest_offset = np.abs(gain).max(), np.abs(offset).max()
        output_shift = min(32, fitting_shift(largest_gain), 16 + fitting_shift(largest_offset))
        if output_shift < 1:
            raise ValueError(
                f"gain and offset of {name} must fit 16 bits, not {largest_gain} and "
                f"{largest_offset} units"
            )
        offset_shift = max(0, output_shift - fitting_shift(largest_offset))
        mean_multiplier, mean_shift = scale_parts(np.array(16 / d), name)
        epsilon = self.description.norm_epsilon * d * d / self.residual_scale**2
        return QuantisedNorm(
            gain=to_int16(gain * 2.0**output_shift),
            offset=to_int16(offset * 2.0 ** (output_shift - offset_shift)),
            epsilon=max(1, min((1 << 60) - 1, round(epsilon))),
            mean_multiplier=int(mean_multiplier),
            mean_shift=int(mean_shift),
            norm_shift=19 - fraction,
            offset_shift=offset_shift,
            output_shift=output_shift,
            rms=self.description.norm == "rms",
        )


def _lifted(maxima: np.ndarray) -> np.ndarray:
    """Maxima with silent channels lifted; all ones if every channel is silent."""
    largest = maxima.max(initial=0.0)
    return np.maximum(maxima, largest * _SILENT) if largest > 0 else np.ones_like(maxima)
