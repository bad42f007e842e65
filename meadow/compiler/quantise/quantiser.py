# SPDX-License-Identifier: Apache-2.0
"""Steps and integers of the matrices and norms of a checkpoint; `quantise` has the formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meadow.compiler.lowering.activation import activation_table
from meadow.compiler.quantise.calibrate import CalibrationStatistics
from meadow.compiler.quantise.head_steps import lifted
from meadow.compiler.quantise.number_formats import WORD_RANGE
from meadow.compiler.quantise.scales import (
    LIMIT_INT16,
    fitting_shift,
    output_parts,
    scale_parts,
    to_int16,
)
from meadow.model.quantised import QuantisedLayer, QuantisedLinear, QuantisedNorm
from meadow.spec.model import ModelDescription
from meadow.spec.numerics import LIMIT_INT8, ROTARY_FRACTION_BITS, SCORE_FRACTION_BITS

__all__ = ["Quantiser"]

_INT32 = (1 << 31) - 1


# Bits between INT16 results and the INT8 values they are turned into: shifts of 14 + 1 to 31.
_LEAST_TURNED, _MOST_TURNED = 1, 17

# The second factor of a gated MLP beyond what calibration saw.
_UP_HEADROOM = 1.25

# A bias, which has 32 bits, is at most this many accumulator units.
_BIAS_LIMIT = 1 << 30


@dataclass(frozen=True)
class Quantiser:
    """Steps and integers of one checkpoint; all folds in float64.

    tensors : float64, by canonical name, those of a layer one after the other. statistics : of the
        calibration.
    granularity : as `quantise` takes it.
    blocks : hidden channels of each part of the second MLP matrix.
    residual_scale : step of the residual stream.
    """

    description: ModelDescription
    tensors: Mapping[str, np.ndarray]
    statistics: CalibrationStatistics
    granularity: str
    blocks: tuple[slice, ...]
    residual_scale: float

    def site_range(self, site: str) -> float:
        """Largest value that calibration saw at a site, never 0."""
        return float(self.statistics.site(site).max(initial=0.0)) or 1.0

    def input_step(self, site: str) -> float:
        """Step of words: the largest value that calibration saw is the largest of a word."""
        return self.site_range(site) / WORD_RANGE

    def norm_step(self, site: str, norm: str) -> float:
        """`input_step` of what norm `norm` writes, or the finest for which its gains fit their 16
        bits.
        """
        gain = float(np.abs(self.tensors[f"{norm}.weight"]).max()) * self._norm_unit
        return max(self.input_step(site), 2 * gain / LIMIT_INT16)

    @property
    def _norm_unit(self) -> float:
        """Real value of one unit of the normalised value n; see `norm`."""
        d = self.description.width
        return d / 2.0 ** _norm_fraction(d)

    def layer(self, index: int) -> QuantisedLayer:
        """Decoder layer `index`."""
        d = self.description
        name = f"layers.{index}."
        residual_step = np.full(d.width, self.residual_scale)
        qkv_step = self.norm_step(name + "qkv_in", name + "attention_norm")
        turned = self._turned(name) if d.rotary_base else 0
        q_step, k_step = self.statistics.step(name + "q_out"), self.statistics.step(name + "k_out")
        o_step, output_scale = self._output_steps(name)
        score = scale_parts(self._score_scale(q_step, k_step), name + "scores")
        output_multiplier, output_shift = output_parts(output_scale, name + "attention")
        fc1_step = self.norm_step(name + "fc1_in", name + "mlp_norm")
        return QuantisedLayer(
            attention_norm=self.norm(name + "attention_norm", qkv_step),
            # What is turned has 16 bits, of which the rotation takes `turned`.
            q=self._matrix(name + "q", qkv_step, q_step / 2.0**turned),
            k=self._matrix(name + "k", qkv_step, k_step / 2.0**turned),
            v=self._matrix(name + "v", qkv_step, self.statistics.step(name + "v_out")),
            o=self._matrix(name + "o", o_step, residual_step),
            mlp_norm=self.norm(name + "mlp_norm", fc1_step),
            **self._mlp(name, fc1_step, residual_step),
            score_multiplier=tuple(score[0].tolist()),
            score_shift=tuple(score[1].tolist()),
            output_multiplier=output_multiplier,
            output_shift=output_shift,
            rotary_shift=ROTARY_FRACTION_BITS + turned if d.rotary_base else 0,
        )

    def _turned(self, name: str) -> int:
        """Bits that the INT16 results of q and k have more than the INT8 values they are turned
        into: as many as leave them the square root of 2 above what calibration saw.
        """
        largest = max(
            float((self.statistics.site(f"{name}{part}_linear") / step).max())
            for part in "qk"
            for step in [self.statistics.step(f"{name}{part}_out")]
        )
        room = LIMIT_INT16 / (math.sqrt(2) * max(largest, 1.0))
        return max(_LEAST_TURNED, min(_MOST_TURNED, math.floor(math.log2(room))))

    def _score_scale(self, q_step: np.ndarray, k_step: np.ndarray) -> np.ndarray:
        """Base-2 scores in their fixed point for one unit of q.k, per KV head; the product of the
        steps of a channel is the same in the whole head.
        """
        d = self.description
        base_two = math.log2(math.e) * (1 << SCORE_FRACTION_BITS) / math.sqrt(d.head_dim)
        first = q_step.reshape(d.kv_heads, -1)[:, 0] * k_step.reshape(d.kv_heads, -1)[:, 0]
        return first * base_two

    def _output_steps(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps of o's input [heads*e], and of V over them, per KV head.

        Attention mixes positions, never channels, so a channel of its output has the step of V
        over the ratio that lets the calibrated output of the head reach the range of a word.
        """
        d = self.description
        v_step = self.statistics.step(name + "v_out").reshape(d.kv_heads, 1, d.head_dim)
        o = lifted(self.statistics.site(name + "o_in")).reshape(d.kv_heads, -1, d.head_dim)
        ratio = WORD_RANGE / (o / v_step).max(axis=(1, 2))
        o_step = np.repeat(v_step / ratio[:, None, None], d.group_heads, axis=1)
        return o_step.reshape(-1), ratio

    def _mlp(self, name: str, fc1_step: float, residual_step: np.ndarray) -> dict[str, Any]:
        """The fields of the MLP."""
        d = self.description
        hidden_step = self.input_step(name + "fc2_in")
        fc2 = self._hidden_blocks(name + "fc2", hidden_step, residual_step)
        fields: dict[str, Any] = {"fc2": fc2}
        if d.activation == "relu":
            return fields | {"fc1": self._matrix(name + "fc1", fc1_step, hidden_step)}
        table_step = self.site_range(name + "fc1_out") / LIMIT_INT16
        fields["fc1"] = self._matrix(name + "fc1", fc1_step, table_step)
        activated_step = self.site_range(name + "activation") / LIMIT_INT16
        # A unit of the product is activated_step * up_step: it is shifted to hidden_step, and the
        # rest of the factor is up's.
        least = self.site_range(name + "up_out") * _UP_HEADROOM / LIMIT_INT16
        shift = math.floor(math.log2(hidden_step / (activated_step * least)))
        shift = max(1, min(31, shift))
        up_step = hidden_step / (activated_step * 2.0**shift)
        return fields | {
            "activation_table": activation_table(d.activation, table_step, activated_step),
            "gate_shift": shift,
            "up": self._matrix(name + "up", fc1_step, up_step),
        }

    def _matrix(
        self, name: str, input_step: np.ndarray | float, output_step: np.ndarray | float
    ) -> QuantisedLinear:
        weight = self.tensors[f"{name}.weight"]
        return self.linear(name, weight, self._bias(name, len(weight)), input_step, output_step)

    def _bias(self, name: str, outputs: int) -> np.ndarray:
        bias = f"{name}.bias"
        return self.tensors[bias] if bias in self.tensors else np.zeros(outputs)

    def _hidden_blocks(
        self, name: str, step: float, residual_step: np.ndarray
    ) -> tuple[QuantisedLinear, ...]:
        """fc2 [d, hidden] as one matrix per hidden block, the bias in block 0."""
        weight = self.tensors[f"{name}.weight"]
        bias = self._bias(name, len(weight))
        whole = float(np.abs(weight).max() * step)
        return tuple(
            self.linear(
                name,
                weight[:, block],
                np.zeros_like(bias) if index else bias,
                step,
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
        input_step: np.ndarray | float,
        output_step: np.ndarray | float,
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

    def norm(self, name: str, step: float) -> QuantisedNorm:
        """Norm `name` with outputs of this step; see `numerics.layer_norm_row`.

        n = (x - mean) / deviation * 2^f / d, and |x - mean| / deviation <= sqrt(d) always: f is
        the largest that keeps n within 16 bits, and norm_shift = 19 - f (4 bits of the mean's
        fraction, 15 of the reciprocal root).
        """
        d = self.description.width
        fraction = _norm_fraction(d)
        gain = self.tensors[f"{name}.weight"] / step * self._norm_unit
        offset = self._bias(name, d) / step
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


def _norm_fraction(width: int) -> int:
    """f of `Quantiser.norm`."""
    return math.floor(math.log2(LIMIT_INT16 * math.sqrt(width)))
