# SPDX-License-Identifier: Apache-2.0
"""Between fetch, a port's decoder and the buffers that it fills."""

from __future__ import annotations

from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import BLOCK_WEIGHTS
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = [
    "DECODE_JOB",
    "PART",
    "SLOTS",
    "FillSignature",
    "parameter_write_layout",
    "tile_write_layout",
]

SLOTS = 2
"""Slots of the tile buffer and of the parameter buffer: who fills them starts with this many
credits.
"""


class FillSignature(wiring.Signature):
    """How one port fills a double buffer of SLOTS slots, seen from its decoder.

    Parameters
    ----------
    payload: shape of a write, for example `tile_write_layout(config)`.

    Members
    -------
    write: Out stream of `payload`, always ready.
    done: Out, pulse: this port's part of the slot is complete. It comes with the last write, or
        later. Slots take turns, from slot 0 on.
    free: In, pulse: the slot that was filled first may be filled again.
    """

    def __init__(self, payload: ShapeLike) -> None:
        self.payload = payload
        super().__init__(
            {
                "write": Out(stream.Signature(payload, always_ready=True)),
                "done": Out(1),
                "free": In(1),
            }
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FillSignature) and other.payload == self.payload


DECODE_JOB = data.StructLayout(
    {
        "cache": 1,
        "slices": 16,
        "tiles": 12,
        "rows": 9,
        "segment_beats": 5,
        "column_beats": 5,
        "beats": 28,
        "command": INDEX_BITS,
    }
)
"""What a decoder does next with its port's WEIGHTS or KV beats, in the order of the port's read
descriptors.

cache: 0: one weight stream (codec in its preamble), 1: this port's part of one K/V tile.
slices: weights: slices of the stream.
tiles: weights: tiles of a slice.
rows: cache: rows (keys) of this port in this tile, 0..W/P; 0 fills nothing but completes the tile.
segment_beats: cache: beats of a row.
column_beats: cache: 16-element column of the first beat.
beats: beats of this job at the decoder: of the stream, or rows * segment_beats.
command: index of the command it belongs to.
"""

PART = data.StructLayout({"data": 8 * BLOCK_WEIGHTS, "wide": 1})
"""Elements in tile order: BLOCK_WEIGHTS if `wide`, else the BEAT_BYTES of the low half."""


def tile_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Part of a tile row.

    slot: of the tile buffer.
    row: of the port's rows, 0..W/P-1.
    column_beats: 16-element column of the first part of `data`.
    mask: bit j: elements 16*j .. 16*j+15 of `data` are written, at column 16*(column_beats + j).
    data: the elements.
    """
    return data.StructLayout(
        {
            "slot": 1,
            "row": range(config.port_rows),
            "column_beats": range(max(2, config.word_beats)),
            "mask": config.decoder_elements // BEAT_BYTES,
            "data": 8 * config.decoder_elements,
        }
    )


def parameter_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A beat of a port's slice header.

    slot: of the parameter buffer.
    beat: number of the beat; it holds channels 2*beat and 2*beat+1 of the port's W/P.
    data: HEADER_FIELDS of the two channels.
    """
    return data.StructLayout({"slot": 1, "beat": range(max(2, config.header_beats)), "data": 128})
