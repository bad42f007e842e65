# SPDX-License-Identifier: Apache-2.0
"""What all unpackers have in common: their ports, and what they tell the decoder of themselves."""

from __future__ import annotations

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import MAX_WIDTH, SUBSTREAMS
from rtl_gen.decoder.step_issue import ISSUE
from rtl_gen.interfaces.tile import PRIME, STEP, UNPACKED

__all__ = ["INDEX_BITS", "ROW_ENTRIES", "Unpacker", "UnpackerSignature", "table_write_layout"]

INDEX_BITS = MAX_WIDTH
"""Widest index."""
ROW_ENTRIES = 4
"""Table entries of one memory row."""


def table_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """ROW_ENTRIES entries of 16 bits; a chunk-1 entry is in the low byte of its 16 bits."""
    rows = config.dictionary_entries // ROW_ENTRIES
    return data.StructLayout({"valid": 1, "row": range(rows), "data": 16 * ROW_ENTRIES})


class UnpackerSignature(wiring.Signature):
    """Between the decoder and each of its unpackers, seen from the unpacker, which uses of it what
    its codec needs.

    Parameters
    ----------
    config : of which `dictionary_entries` matters.

    Members
    -------
    chunk2 : In, weights of an index: 0 one, 1 two.
    entries : In, of the preamble.
    table : In table_write_layout, while a table is read.
    prime : In PRIME, while a primer is read.
    issue : In ISSUE, a step of this codec is issued.
    step : In STEP, that step.
    need : Out(SUBSTREAMS), sub-streams that have finished a word; see StepIssue.
    part : Out UNPACKED, `latency` cycles after its step.
    bad : Out pulse, `bad_latency` cycles after the step: the stream is wrong.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "chunk2": In(1),
                "entries": In(INDEX_BITS + 1),
                "table": In(table_write_layout(config)),
                "prime": In(PRIME),
                "issue": In(ISSUE),
                "step": In(STEP),
                "need": Out(SUBSTREAMS),
                "part": Out(UNPACKED),
                "bad": Out(1),
            }
        )


class Unpacker(wiring.Component):
    """A codec's way from steps to weights: a step per cycle, constant latency, no back-pressure.

    Parameters
    ----------
    config : see UnpackerSignature, which has the ports.
    """

    latency: int
    """Cycles from a step to its part."""

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(UnpackerSignature(config))
