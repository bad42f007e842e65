# SPDX-License-Identifier: Apache-2.0
"""Lossless packing of a matrix into the streams that the ports read: `meadow.spec.streams`."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from meadow.compiler.dictionary import DictionaryPlan, encode_slice, plan_dictionary
from meadow.golden.quantised import QuantisedLinear
from meadow.golden.streams import HEADER_DTYPE
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.layout import pack_fields
from meadow.spec.streams import PREAMBLE_FIELDS, Codec

__all__ = ["CODECS", "PackedMatrix", "pack_matrix", "pad_linear"]

CODECS = ("auto", "dictionary", "raw")
"""What a caller may ask for; `auto` is the smallest, and nothing is ever larger than `raw`."""


@dataclass(frozen=True)
class PackedMatrix:
    """streams: one per port, whole beats; codec: the one used by all of them."""

    streams: tuple[bytes, ...]
    codec: Codec

    @property
    def size_bytes(self) -> int:
        """Bytes of all streams."""
        return sum(len(stream) for stream in self.streams)


def pad_linear(
    linear: QuantisedLinear,
    outputs: int,
    inputs: int,
    *,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> QuantisedLinear:
    """`linear` within zeros, [outputs, inputs].

    Channel i goes to row rows[i], input j to column columns[j], by default to their own place.
    Padded channels requantise to 0 (multiplier
    0, shift 1).
    """
    row = np.arange(linear.outputs) if rows is None else rows
    column = np.arange(linear.inputs) if columns is None else columns
    weight = np.zeros((outputs, inputs), np.int8)
    weight[row[:, None], column] = linear.weight
    bias = np.zeros(outputs, np.int32)
    multiplier = np.zeros(outputs, np.uint16)
    shift = np.ones(outputs, np.uint8)
    bias[row], multiplier[row], shift[row] = linear.bias, linear.multiplier, linear.shift
    return QuantisedLinear(weight=weight, bias=bias, multiplier=multiplier, shift=shift)


def pack_matrix(linear: QuantisedLinear, config: AcceleratorConfig, codec: str) -> PackedMatrix:
    """Streams of a padded matrix, [slices*W, tiles*W], one per port.

    Each port's dictionary has its own table and the chunk (1 or 2 weights) that makes it smaller.
    The whole matrix is stored raw unless the largest dictionary stream is smaller than a raw one:
    ports read side by side, so the largest decides. ValueError for an unknown codec or a matrix
    that is not whole tiles.
    """
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, not {codec!r}")
    width, ports, rows = config.width, config.ports, config.port_rows
    if linear.outputs % width or linear.inputs % width:
        raise ValueError(
            f"a packed matrix is whole tiles of {width}, not [{linear.outputs}, {linear.inputs}]"
        )
    slices, tiles = linear.outputs // width, linear.inputs // width
    weights = linear.weight.reshape(slices, ports, rows, tiles, width)
    payloads = [
        np.ascontiguousarray(weights[:, port].transpose(0, 2, 1, 3)).reshape(slices, -1)
        for port in range(ports)
    ]
    headers = _headers(linear, config)
    if codec != "raw":
        plans = [_best_plan(payload, config) for payload in payloads]
        chosen = [plan for plan in plans if plan is not None]
        raw_beats = slices * payloads[0].shape[1] // BEAT_BYTES
        if len(chosen) == ports and all(_beats(plan) < raw_beats for plan in chosen):
            streams = (_dictionary(plan, headers[port]) for port, plan in enumerate(chosen))
            return PackedMatrix(tuple(streams), Codec.DICTIONARY)
    streams = (_raw(payload, headers[port]) for port, payload in enumerate(payloads))
    return PackedMatrix(tuple(streams), Codec.RAW)


def _headers(linear: QuantisedLinear, config: AcceleratorConfig) -> np.ndarray:
    """Slice headers by port: uint8 [ports, slices, header bytes]."""
    records = np.zeros(linear.outputs, HEADER_DTYPE)
    for name in ("bias", "multiplier", "shift"):
        records[name] = getattr(linear, name)
    used = records.view(np.uint8).reshape(-1, config.ports, 8 * config.port_rows)
    padded = np.zeros((*used.shape[:2], config.header_beats * BEAT_BYTES), np.uint8)
    padded[:, :, : used.shape[2]] = used
    return padded.transpose(1, 0, 2)


def _best_plan(payload: np.ndarray, config: AcceleratorConfig) -> DictionaryPlan | None:
    plans = [plan_dictionary(payload, chunk, config.dictionary_entries) for chunk in (1, 2)]
    return min((plan for plan in plans if plan is not None), key=_beats, default=None)


def _beats(plan: DictionaryPlan) -> int:
    """Beats that a raw stream would not have: table and packets instead of plain bytes."""
    return plan.table_beats + plan.payload_beats


def _raw(payload: np.ndarray, headers: np.ndarray) -> bytes:
    body = np.concatenate([headers, payload.view(np.uint8)], axis=1).tobytes()
    return _preamble(body, codec=Codec.RAW, weights=payload.size) + body


def _dictionary(plan: DictionaryPlan, headers: np.ndarray) -> bytes:
    table = plan.table.tobytes()
    parts = [table, bytes(-len(table) % BEAT_BYTES)]
    for index, header in enumerate(headers):
        parts += [header.tobytes(), encode_slice(plan, index)]
    body = b"".join(parts)
    return (
        _preamble(
            body,
            codec=Codec.DICTIONARY,
            chunk=plan.chunk,
            entries=len(plan.table),
            weights=plan.indices.size * plan.chunk,
            **{f"width{mode}": width for mode, width in enumerate(plan.widths)},
        )
        + body
    )


def _preamble(body: bytes, **fields: int) -> bytes:
    word = pack_fields(PREAMBLE_FIELDS, {**fields, "checksum": zlib.crc32(body)}, "preamble")
    return word.to_bytes(BEAT_BYTES, "little")
