# SPDX-License-Identifier: Apache-2.0
"""What all unpackers have in common: their ports, and what they tell the decoder of themselves."""

from __future__ import annotations

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import SUBSTREAMS
from rtl_gen.decoder.weight_block import (
    BLOCK_BITS,
    INDEX_BITS,
    ISSUE,
    PRIME,
    WEIGHT_BLOCK,
    table_write_layout,
)

__all__ = ["Unpacker", "UnpackerSignature"]


class UnpackerSignature(wiring.Signature):
    """Between the decoder and each of its unpackers, seen from the unpacker, which uses of it what
    its codec needs. All streams are always ready.

    Parameters
    ----------
    config: of which `dictionary_entries` matters.

    Members
    -------
    chunk2: In, weights of an index: 0 one, 1 two.
    entries: In, of the preamble.
    table: In stream of table_write_layout, while a table is read.
    prime: In stream of PRIME, while a primer is read.
    issue: In stream of ISSUE, a block of this codec is issued.
    block: In stream of WEIGHT_BLOCK, that block.
    need: Out(SUBSTREAMS), sub-streams that have finished a word; see BlockIssue.
    part: Out stream of BLOCK_BITS, the weights, `latency` cycles after their block.
    bad: Out pulse, `bad_latency` cycles after the block: the stream is wrong.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            {
                "chunk2": In(1),
                "entries": In(INDEX_BITS + 1),
                "table": In(stream.Signature(table_write_layout(config), always_ready=True)),
                "prime": In(stream.Signature(PRIME, always_ready=True)),
                "issue": In(stream.Signature(ISSUE, always_ready=True)),
                "block": In(stream.Signature(WEIGHT_BLOCK, always_ready=True)),
                "need": Out(SUBSTREAMS),
                "part": Out(stream.Signature(BLOCK_BITS, always_ready=True)),
                "bad": Out(1),
            }
        )


class Unpacker(wiring.Component):
    """A codec's way from blocks to weights: a block per cycle, constant latency, no back-pressure.

    Parameters
    ----------
    config: see UnpackerSignature, which has the ports.
    """

    latency: int
    """Cycles from a block to its part."""

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(UnpackerSignature(config))
