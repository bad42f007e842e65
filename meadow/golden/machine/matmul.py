# SPDX-License-Identifier: Apache-2.0
"""MATMUL on the architectural machine: streams to matrices, products, every kind of output."""

from __future__ import annotations

import numpy as np

from meadow.golden.epilogue import SecondOperands, finish
from meadow.golden.machine.state import (
    Fields,
    MachineError,
    MachineState,
    row_count,
)
from meadow.golden.numerics import requantise, within_limit, word_numbers
from meadow.golden.streams.decode import unpack_stream
from meadow.golden.tiers.layer_parts import accumulate
from meadow.model.quantised import QuantisedLinear
from meadow.spec.commands import TrafficClass
from meadow.spec.config import BEAT_BYTES
from meadow.spec.epilogue import EPILOGUES, MatmulOutput
from meadow.spec.registers import ErrorCode
from meadow.spec.step import Step

__all__ = ["MatmulRunner"]

_CACHED_WEIGHTS = 1 << 28
"""A model of a few hundred million weights; a byte each."""


class MatmulRunner:
    """Runs MATMUL commands on `state`; keeps the matrices of streams it has seen."""

    def __init__(self, state: MachineState) -> None:
        self.state = state
        self._matrices: dict[tuple[object, ...], QuantisedLinear] = {}

    def execute(self, fields: Fields, step: Step) -> None:
        """One command with fields in their ranges; MachineError for a stream that breaks a rule."""
        state = self.state
        epilogue = EPILOGUES[MatmulOutput(fields["output"])]
        rows, width = row_count(fields, step), state.config.width
        slices, tiles = fields["slices"], fields["tiles"]
        matrix = self._matrix(fields, slices, tiles)
        source = state.words(
            fields["source"], fields["source_stride"], rows, tiles, "MATMUL source"
        )
        target = state.words(
            fields["destination"],
            fields["destination_stride"],
            rows,
            slices * epilogue.element_bytes,
            "MATMUL destination",
        )
        exponents = state.exponents[source]
        if fields["exponent"]:
            exponents = np.full_like(exponents, fields["exponent"])
        x = state.activations[source].reshape(rows, tiles * width).view(np.int8)
        x = word_numbers(x, exponents, width)
        results = requantise(accumulate(x, matrix), matrix.multiplier, matrix.shift, epilogue.bits)
        if epilogue.arg_max:
            self._compare(results[:, : fields["channels"]], fields)
        written_type = np.dtype("<i2" if epilogue.wide else np.int8)
        operands = SecondOperands(
            destination=state.activations[target].reshape(rows, -1).view(written_type),
            operand=self._operand(rows, slices, fields) if epilogue.operand else None,
            table=state.activation_table.reshape(-1).view("<i2"),
            post_shift=fields["post_shift"],
        )
        written = finish(epilogue, results, operands)
        if epilogue.exponents:
            state.write_words(target, written)
        else:
            state.write(target, written.astype(written_type))

    def _operand(self, rows: int, slices: int, fields: Fields) -> np.ndarray:
        """The elements of the operand words of all channels, int16 [rows, slices*W]."""
        state, words = self.state, fields["operand_words"] or 2 * slices
        address = state.words(
            fields["operand"], fields["operand_stride"], rows, words, "MATMUL operand"
        )
        # Word c mod operand_words belongs to channels c*W/2 on.
        word = np.arange(2 * slices) % words
        return state.activations[address][:, word].reshape(rows, -1).view("<i2")

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
                weight=within_limit(np.concatenate([part for part, _ in parts], axis=1)).reshape(
                    outputs, -1
                ),
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
