# SPDX-License-Identifier: Apache-2.0
"""MATMUL on the architectural machine: streams to matrices, products, every kind of output."""

from __future__ import annotations

import numpy as np

from meadow.golden.machine.state import (
    Fields,
    MachineError,
    MachineState,
    row_count,
)
from meadow.golden.numerics import gate, requantise, rotate, saturate, table_index
from meadow.golden.streams.decode import unpack_stream
from meadow.golden.tiers.layer_parts import accumulate
from meadow.model.quantised import QuantisedLinear
from meadow.spec.commands import MatmulOutput, TrafficClass
from meadow.spec.config import BEAT_BYTES
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Step

__all__ = ["MatmulRunner"]

_CACHED_WEIGHTS = 1 << 26
_WIDE = (MatmulOutput.RESIDUAL16, MatmulOutput.LOGITS16)
_NARROW = (MatmulOutput.INT8, MatmulOutput.RELU8)


class MatmulRunner:
    """Runs MATMUL commands on `state`; keeps the matrices of streams it has seen."""

    def __init__(self, state: MachineState) -> None:
        self.state = state
        self._matrices: dict[tuple[object, ...], QuantisedLinear] = {}

    def run(self, fields: Fields, step: Step) -> None:
        """One command with fields in their ranges; MachineError for a stream that breaks a rule."""
        state = self.state
        output = MatmulOutput(fields["output"])
        rows, width = row_count(fields, step), state.config.width
        slices, tiles = fields["slices"], fields["tiles"]
        matrix = self._matrix(fields, slices, tiles)
        source = state.words(
            fields["source"], fields["source_stride"], rows, tiles, "MATMUL source"
        )
        wide = output in _WIDE
        target = state.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            slices * (1 + wide),
            "MATMUL destination",
        )
        x = state.activations[source].reshape(rows, tiles * width).view(np.int8)
        bits = 8 if output in _NARROW else 16
        result = requantise(accumulate(x, matrix), matrix.multiplier, matrix.shift, bits)
        old = state.activations[target].reshape(rows, slices * width * (1 + wide))
        if output == MatmulOutput.RELU8:
            result = np.maximum(result, 0)
        elif output == MatmulOutput.RESIDUAL16:
            result = saturate(result + old.view("<i2"), 16)
        elif output == MatmulOutput.LOGITS16:
            self._compare(result[:, : fields["channels"]], fields)
        elif output == MatmulOutput.TABLE8:
            result = state.activation_table.reshape(-1).view(np.int8)[table_index(result)]
        elif output == MatmulOutput.ROTATE8:
            result = self._rotated(result, fields)
        elif output == MatmulOutput.GATE8:
            result = gate(old.view(np.int8), result, fields["post_shift"])
        state.write(target, result.astype("<i2" if wide else np.int8))

    def _rotated(self, result: np.ndarray, fields: Fields) -> np.ndarray:
        """ROTATE8: INT16 results [rows, slices*W] to INT8."""
        state, words, half = self.state, fields["rotary_words"], self.state.config.width // 2
        address = state.words(
            fields["rotary"], fields["rotary_stride"], len(result), words, "MATMUL rotary"
        )
        # Word c mod rotary_words holds the W/4 pairs of channels c*W/2 on.
        word = np.arange(result.shape[1] // half) % words
        angles = state.activations[address][:, word].reshape(len(result), -1).view("<i2")
        turned = rotate(
            result[:, 0::2], result[:, 1::2], angles[:, 0::2], angles[:, 1::2], fields["post_shift"]
        )
        return np.stack(turned, axis=-1).reshape(result.shape)

    def _compare(self, logits: np.ndarray, fields: Fields) -> None:
        """Running arg-max over true channels [rows, channels]; the lowest of equals wins."""
        state = self.state
        if fields["restart"]:
            state.forget_candidates()
        if not logits.size:
            return
        rows = np.arange(len(logits))
        index = np.argmax(logits, axis=1)
        value = logits[rows, index]
        better = rows[value > state.best_value[rows]]
        state.best_value[better] = value[better]
        state.best_index[better] = index[better] + fields["first_channel"]

    def _matrix(self, fields: Fields, slices: int, tiles: int) -> QuantisedLinear:
        """The padded matrix [slices*W, tiles*W] in all ports' streams."""
        state, config = self.state, self.state.config
        streams = []
        for port in range(config.ports):
            size = fields[f"beats{port}"] * BEAT_BYTES
            streams.append(state.window(fields[f"offset{port}"], size, f"stream of port {port}"))
            state.traffic[TrafficClass.WEIGHTS] += size
        key = (slices, tiles, *(hash(stream.tobytes()) for stream in streams))
        known = self._matrices.get(key)
        if known is not None:
            return known
        try:
            parts = [unpack_stream(stream.data, slices, tiles, config) for stream in streams]
            outputs = slices * config.width
            matrix = QuantisedLinear(
                weight=np.concatenate([part for part, _ in parts], axis=1).reshape(outputs, -1),
                bias=np.concatenate([head.bias for _, head in parts], axis=1).reshape(-1),
                multiplier=np.concatenate([head.multiplier for _, head in parts], axis=1).reshape(
                    -1
                ),
                shift=np.concatenate([head.shift for _, head in parts], axis=1).reshape(-1),
            )
        except ValueError as error:
            raise MachineError(f"MATMUL {error}", code=ErrorCode.STREAM) from error
        if sum(entry.weight.size for entry in self._matrices.values()) < _CACHED_WEIGHTS:
            self._matrices[key] = matrix
        return matrix
