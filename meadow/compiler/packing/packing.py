# SPDX-License-Identifier: Apache-2.0
"""Lossless packing of a matrix into the streams that the ports read: `meadow.spec.streams`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from meadow.compiler.packing.dictionary import DictionaryPlan, plan_dictionary
from meadow.compiler.packing.rice import plan_rice
from meadow.golden.streams.decode import HEADER_DTYPE
from meadow.model.quantised import QuantisedLinear
from meadow.spec.checks import check_choice
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.layout import pack_fields
from meadow.spec.parts import require_codec
from meadow.spec.streams import CODEC_NAMES, PREAMBLE_FIELDS, Codec

__all__ = [
    "CODECS",
    "PACKERS",
    "PackedMatrix",
    "check_codec",
    "codec_choices",
    "pack_matrix",
    "pad_linear",
]

CODECS = ("auto", *sorted(CODEC_NAMES))
"""What a caller may ask for; `auto` is the smallest that the configuration has a decoder for, and
nothing is ever larger than `raw`.
"""


@dataclass(frozen=True)
class PackedMatrix:
    """streams: one per port, whole beats; codec: the one used by all of them; header_bytes: of the
    slice headers in all streams.
    """

    streams: tuple[bytes, ...]
    codec: Codec
    header_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all streams."""
        return sum(len(stream) for stream in self.streams)

    @property
    def payload_bytes(self) -> int:
        """Bytes without slice headers: preambles, tables, mode words, codes and padding."""
        return self.size_bytes - self.header_bytes


class _Plan(Protocol):
    """How one port's stream is coded: beats but for preamble and headers, preamble fields, body."""

    @property
    def payload_beats(self) -> int: ...

    @property
    def fields(self) -> dict[str, int]: ...

    def body(self, headers: np.ndarray) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class _Switches:
    """Steps of the dictionary coding; see `plan_dictionary`."""

    packet_precision: bool
    frequency_order: bool


@dataclass(frozen=True)
class _RawPlan:
    payload: np.ndarray

    @property
    def payload_beats(self) -> int:
        return self.payload.size // BEAT_BYTES

    @property
    def fields(self) -> dict[str, int]:
        return {"codec": Codec.RAW}

    def body(self, headers: np.ndarray) -> bytes:
        return np.concatenate([headers, self.payload.view(np.uint8)], axis=1).tobytes()


def codec_choices(config: AcceleratorConfig) -> tuple[str, ...]:
    """Those of CODECS that the configuration can be packed with."""
    return tuple(codec for codec in CODECS if codec in ("auto", *config.codecs))


def check_codec(codec: str, config: AcceleratorConfig) -> None:
    """ValueError unless `codec` is one of CODECS, and one of the configuration's or `auto`."""
    check_choice("codec", codec, CODECS)
    if codec != "auto":
        require_codec(config, codec)


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


def pack_matrix(
    linear: QuantisedLinear,
    config: AcceleratorConfig,
    codec: str,
    *,
    packet_precision: bool = True,
    frequency_order: bool = True,
) -> PackedMatrix:
    """Streams of a padded matrix, [slices*W, tiles*W], one per port.

    Every port has its own dictionary, with the chunk (1 or 2 weights) that makes it smaller, or its
    own Rice parameters. Ports read side by side, so the largest stream decides: the whole matrix is
    stored raw unless the largest coded stream is smaller, and `auto` takes the codec whose largest
    stream is smallest. The switches turn off steps of the dictionary coding: see `plan_dictionary`.
    ValueError for a codec that is unknown or without a decoder in the configuration, or a matrix
    that is not whole tiles.
    """
    check_codec(codec, config)
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
    switches = _Switches(packet_precision=packet_precision, frequency_order=frequency_order)
    best: list[_Plan] = [_RawPlan(payload) for payload in payloads]
    for name, plan in PACKERS.items():
        if codec not in ("auto", name.name.lower()) or not config.has_codec(name):
            continue
        plans = [plan(payload, config, switches) for payload in payloads]
        possible = [plan for plan in plans if plan is not None]
        if len(possible) == ports and _largest(possible) < _largest(best):
            best = possible
    headers = _headers(linear, config)
    streams = tuple(
        _stream(plan, header, payload.size)
        for plan, header, payload in zip(best, headers, payloads, strict=True)
    )
    return PackedMatrix(streams, Codec(best[0].fields["codec"]), headers.size)


def _headers(linear: QuantisedLinear, config: AcceleratorConfig) -> np.ndarray:
    """Slice headers by port: uint8 [ports, slices, header bytes]."""
    records = np.zeros(linear.outputs, HEADER_DTYPE)
    for name in ("bias", "multiplier", "shift"):
        records[name] = getattr(linear, name)
    used = records.view(np.uint8).reshape(-1, config.ports, 8 * config.port_rows)
    padded = np.zeros((*used.shape[:2], config.header_beats * BEAT_BYTES), np.uint8)
    padded[:, :, : used.shape[2]] = used
    return padded.transpose(1, 0, 2)


def _plan_dictionary(
    payload: np.ndarray, config: AcceleratorConfig, switches: _Switches
) -> DictionaryPlan | None:
    """With the chunk that makes it smaller."""
    entries = config.dictionary_entries
    plans = [
        plan_dictionary(
            payload,
            chunk,
            entries,
            packet_precision=switches.packet_precision,
            frequency_order=switches.frequency_order,
        )
        for chunk in (1, 2)
    ]
    possible = (plan for plan in plans if plan is not None)
    return min(possible, key=lambda plan: plan.payload_beats, default=None)


PACKERS: Mapping[Codec, Callable[[np.ndarray, AcceleratorConfig, _Switches], _Plan | None]] = {
    Codec.DICTIONARY: _plan_dictionary,
    Codec.RICE: lambda payload, config, switches: plan_rice(payload),
}
"""By codec: a port's payload int8 [slices, weights] to its coding, None if there is none. RAW, what
a matrix is stored as if nothing is smaller, needs no plan made."""


def _largest(plans: Sequence[_Plan]) -> int:
    return max(plan.payload_beats for plan in plans)


def _stream(plan: _Plan, headers: np.ndarray, weights: int) -> bytes:
    """Preamble and body; the checksum is taken with its own field 0."""
    body = plan.body(headers)
    fields = {**plan.fields, "weights": weights}
    empty = _preamble(fields)
    return _preamble({**fields, "checksum": zlib.crc32(body, zlib.crc32(empty))}) + body


def _preamble(fields: dict[str, int]) -> bytes:
    return pack_fields(PREAMBLE_FIELDS, fields, "preamble").to_bytes(BEAT_BYTES, "little")
