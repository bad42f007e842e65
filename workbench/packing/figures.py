# SPDX-License-Identifier: Apache-2.0
"""Figures of packed matrices: bits per weight with everything counted, entropy, unique chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meadow.compiler.packing.packing import PackedMatrix, pack_matrix, pad_linear
from meadow.golden.streams.decode import read_preamble
from meadow.model.quantised import QuantisedLinear
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import CODEC_NAMES, Codec

__all__ = [
    "PACKINGS",
    "MatrixFigures",
    "figures",
    "pack_every_way",
    "padded_weights",
    "table_row",
    "total",
    "value_entropy",
    "with_every_codec",
]

PACKINGS = (*CODEC_NAMES, "auto")
"""Columns of a report's table: what `pack_matrix` may be asked for."""

_RAW_BITS = 8


@dataclass(frozen=True, kw_only=True)
class MatrixFigures:
    """One matrix in one packing.

    outputs, inputs: true shape, to which bits per weight refer; codec: the one in the preambles;
    chunk: weights per index of the dictionary (the larger one if ports differ), else 1;
    unique_chunks: distinct chunks of that length in the matrix as stored, padding included;
    entropy_bits: order-0 entropy of the true weights; payload_bits: preambles, tables, mode words,
        packets and padding of all ports' streams; header_bits: their slice headers.
    """

    name: str
    outputs: int
    inputs: int
    codec: str
    chunk: int
    unique_chunks: int
    entropy_bits: float
    payload_bits: int
    header_bits: int

    @property
    def weights(self) -> int:
        """True weights."""
        return self.outputs * self.inputs

    @property
    def bits_per_weight(self) -> float:
        """Of all streams but for the slice headers."""
        return self.payload_bits / self.weights

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "shape": [self.outputs, self.inputs],
            "codec": self.codec,
            "chunk": self.chunk,
            "unique_chunks": self.unique_chunks,
            "entropy_bits": self.entropy_bits,
            "bits_per_weight": self.bits_per_weight,
            "header_bits_per_weight": self.header_bits / self.weights,
            "ratio": _RAW_BITS / self.bits_per_weight,
        }


def value_entropy(counts: np.ndarray) -> float:
    """Order-0 entropy in bits of values that occur `counts` times, any shape; 0 for none."""
    used = counts[counts > 0] / max(1, counts.sum())
    return max(0.0, -float((used * np.log2(used)).sum()))


def padded_weights(weight: np.ndarray, config: AcceleratorConfig) -> QuantisedLinear:
    """Integers int8 [out, in] in whole tiles, with slice headers that say nothing."""
    outputs, inputs = weight.shape
    width = config.width
    linear = QuantisedLinear(
        weight=weight,
        bias=np.zeros(outputs, np.int32),
        multiplier=np.zeros(outputs, np.uint16),
        shift=np.ones(outputs, np.uint8),
    )
    return pad_linear(linear, -(-outputs // width) * width, -(-inputs // width) * width)


def pack_every_way(linear: QuantisedLinear, config: AcceleratorConfig) -> dict[str, PackedMatrix]:
    """A padded matrix in each of PACKINGS, whether the configuration has the decoder or not; `auto`
    is what it would be stored as.
    """
    packed = {name: pack_matrix(linear, with_every_codec(config), name) for name in CODEC_NAMES}
    return packed | {"auto": pack_matrix(linear, config, "auto")}


def with_every_codec(config: AcceleratorConfig) -> AcceleratorConfig:
    """The configuration with the decoders of all codecs."""
    return replace(config, codecs=CODEC_NAMES)


def figures(
    name: str,
    shape: tuple[int, int],
    weight: np.ndarray,
    streams: Sequence[bytes | memoryview],
    config: AcceleratorConfig,
) -> MatrixFigures:
    """Of a matrix of true `shape` that is stored padded, `weight` int8 [slices*W, tiles*W], in
    `streams`.

    Padding is zeros, wherever it lies, so the true weights are those of `weight` without that many
    zeros.
    """
    preambles = [read_preamble(stream) for stream in streams]
    codec = Codec(preambles[0]["codec"])
    chunk = max(p["chunk"] for p in preambles) if codec == Codec.DICTIONARY else 1
    counts = np.bincount(weight.reshape(-1).view(np.uint8), minlength=256)
    counts[0] -= weight.size - shape[0] * shape[1]
    slices = weight.shape[0] // config.width
    header_bytes = slices * config.ports * config.header_beats * BEAT_BYTES
    return MatrixFigures(
        name=name,
        outputs=shape[0],
        inputs=shape[1],
        codec=codec.name.lower(),
        chunk=chunk,
        unique_chunks=_unique(weight, chunk),
        entropy_bits=value_entropy(counts),
        payload_bits=8 * (sum(len(stream) for stream in streams) - header_bytes),
        header_bits=8 * header_bytes,
    )


def _unique(weight: np.ndarray, chunk: int) -> int:
    """Distinct runs of `chunk` weights along the inputs."""
    values = np.ascontiguousarray(weight).reshape(-1).view(f"<u{chunk}")
    return int(np.count_nonzero(np.bincount(values, minlength=1)))


def total(parts: Iterable[MatrixFigures]) -> dict[str, Any]:
    """The figures of all matrices together, each weighted with its size; `codecs`: matrices by
    codec.
    """
    found = list(parts)
    weights = sum(part.weights for part in found)
    codecs: dict[str, int] = {}
    for part in found:
        codecs[part.codec] = codecs.get(part.codec, 0) + 1
    bits = sum(part.payload_bits for part in found) / weights
    return {
        "name": "total",
        "matrices": len(found),
        "weights": weights,
        "codecs": codecs,
        "unique_chunks": sum(part.unique_chunks * part.weights for part in found) / weights,
        "entropy_bits": sum(part.entropy_bits * part.weights for part in found) / weights,
        "bits_per_weight": bits,
        "header_bits_per_weight": sum(part.header_bits for part in found) / weights,
        "ratio": _RAW_BITS / bits,
    }


def table_row(packed: dict[str, list[MatrixFigures]]) -> dict[str, float]:
    """A grid's line of the report's table: entropy, and bits per weight by packing (matrices of
    each).
    """
    sums = {packing: total(parts) for packing, parts in packed.items()}
    return {
        "entropy": sums["raw"]["entropy_bits"],
        **{packing: values["bits_per_weight"] for packing, values in sums.items()},
    }
