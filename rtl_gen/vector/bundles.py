# SPDX-License-Identifier: Apache-2.0
"""Layouts at the activation memory: read clients and result words."""

from __future__ import annotations

from amaranth.lib import data, enum

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig

__all__ = ["READ_CLIENTS", "ResultMode", "result_word_layout", "writer_depth"]

READ_CLIENTS = ("operand", "writer", "vector", "storer")
"""Read clients of the activation memory in order of priority."""


class ResultMode(enum.Enum, shape=2):
    """What the writer does with a result word."""

    WRITE = 0
    ADD16 = 1  # word[i] = sat16(word[i] + data[i]) on W/2 16-bit elements
    LOGITS16 = 2  # WRITE, and arg-max per row over the first `elements` 16-bit elements


def writer_depth(config: AcceleratorConfig) -> int:
    """Result words the writer can hold: the array control spends one credit per word, the writer returns it."""
    return max(16, 8 * config.lanes)


def result_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One result word on its way to the activation memory. Bit j of mask enables bytes 16*j .. 16*j+15."""
    return data.StructLayout(
        {
            "address": 20,
            "mask": config.width // BEAT_BYTES,
            "mode": ResultMode,
            "row": 16,
            "channel": 20,
            "elements": range(config.width // 2 + 1),
            "restart": 1,
            "data": 8 * config.width,
        }
    )
