# SPDX-License-Identifier: Apache-2.0
"""Layouts between fetch, a port's decoder and the tile buffer."""

from __future__ import annotations

from amaranth.lib import data

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig

__all__ = ["FILL_JOB", "parameter_write_layout", "tile_write_layout"]

FILL_JOB = data.StructLayout(
    {
        "cache": 1,  # 0: one weight stream (codec in its preamble), 1: this port's part of one K/V tile
        "slices": 16,  # weights: slices of the stream
        "tiles": 12,  # weights: tiles of a slice
        "rows": 9,  # cache: rows (keys) of this port in this tile, 0..W/P; 0 fills nothing but completes the tile
        "segment_beats": 5,  # cache: beats of a row
        "column_beats": 5,  # cache: 16-element column of the first beat
    }
)
"""What a decoder does next with its port's WEIGHTS or KV beats, in the order of the port's read descriptors."""


def tile_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Part of a tile row: `row` local to the port (0..W/P-1), 16-element column `column_beats` of the first part.

    Bit j of `mask` says that elements 16*j .. 16*j+15 of `data` are written, at column 16*(column_beats + j).
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
    """Beat `beat` of a port's slice header: channels 2*beat and 2*beat+1 of the port's W/P."""
    return data.StructLayout({"slot": 1, "beat": range(max(2, config.header_beats)), "data": 128})
