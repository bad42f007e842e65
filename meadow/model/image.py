# SPDX-License-Identifier: Apache-2.0
"""A model image in memory, and what a host does with its tensors.

It lives here because the compiler writes images and the driver reads them, and neither may import
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from meadow.spec.commands import COMMAND_BYTES, Command
from meadow.spec.config import BEAT_BYTES
from meadow.spec.image import Manifest

__all__ = ["Image", "cache_rows"]

Reader = Callable[[int, int], np.ndarray]
"""(first byte, bytes) of the DMA window -> uint8 [bytes]."""


@dataclass(frozen=True, eq=False)
class Image:
    """The manifest and the tensors of `meadow.spec.image`.

    dram: uint8 [bytes]; embed_tokens: int16 [vocabulary, dp]; embed_positions: int16
    [max_positions, dp], without rows if nothing is added; rotary: int16 [max_positions, elements],
    [0, 0] for models without; prefix: int8 of the manifest's `prefix_shape`; tokenizer: uint8
    [bytes].
    """

    manifest: Manifest
    dram: np.ndarray
    embed_tokens: np.ndarray
    embed_positions: np.ndarray
    rotary: np.ndarray
    prefix: np.ndarray
    tokenizer: np.ndarray

    def embed(
        self, tokens: Sequence[int] | np.ndarray, positions: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """Rows for the region `embeddings`: little-endian int16 [n, dp], sat16(token + position).

        ValueError for a token beyond the vocabulary or a position beyond the context.
        """
        for what, values, limit in (
            ("token", tokens, len(self.embed_tokens)),
            ("position", positions, self.manifest.context),
        ):
            # Before the conversion to NumPy, which overflows at 64 bits.
            wrong = next((value for value in values if not 0 <= value < limit), None)
            if wrong is not None:
                raise ValueError(f"a {what} must be in 0..{limit - 1}, not {wrong}")
        ids, places = np.asarray(tokens, np.int64), np.asarray(positions, np.int64)
        rows = self.embed_tokens[ids].astype(np.int32)
        if len(self.embed_positions):
            rows += self.embed_positions[places]
        return np.clip(rows, -(1 << 15), (1 << 15) - 1).astype("<i2")

    def write_prefix(self, memory: np.ndarray, sequence: int) -> None:
        """Fill the first rows of a sequence's cache in the DMA window uint8 [bytes]."""
        places = len(self.manifest.prefix)
        cache_rows(memory, self.manifest, sequence)[..., :places, :] = self.prefix

    def prefix_spans(self, sequence: int) -> Iterator[tuple[int, int]]:
        """(first byte, bytes) in the DMA window of all that `write_prefix` fills."""
        facts = self.manifest.cache
        segment = facts.segment_beats * BEAT_BYTES
        size = len(self.manifest.prefix) * segment
        start = self.manifest.kv_base(sequence) * BEAT_BYTES
        pieces = self.manifest.model.layers * 2 * facts.heads * facts.blocks
        for index in range(pieces if size else 0):
            yield start + index * facts.rows * segment, size

    def logits(self, read: Reader, rows: int) -> np.ndarray:
        """Logits int16 [rows, vocabulary] that the last step left in the DMA window.

        Of a model with the outputs "hidden" its residual rows int16 [rows, d], the first of the
        chunk.
        """
        model, pieces = self.manifest.model, []
        for piece in self.manifest.logits:
            data = read(piece.offset * BEAT_BYTES, rows * piece.channels * 2)
            pieces.append(data.view("<i2").reshape(rows, piece.channels))
        channels = model.width if model.outputs == "hidden" else model.vocabulary
        return np.concatenate(pieces, axis=1)[:, :channels]

    def command(self, index: int) -> Command:
        """Command `index` of the program."""
        start = self.manifest.regions["program"].offset * BEAT_BYTES + index * COMMAND_BYTES
        return Command.decode(self.dram[start : start + COMMAND_BYTES].tobytes())

    def argmax(self, read: Reader, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Token and logit of the largest logit of every row, int32 [rows] each."""
        start = self.manifest.regions["argmax"].offset * BEAT_BYTES
        words = read(start, rows * BEAT_BYTES).view("<i4").reshape(rows, 4)
        return words[:, 0], words[:, 1]


def cache_rows(memory: np.ndarray, manifest: Manifest, sequence: int) -> np.ndarray:
    """View int8 [layers, 2 (K, V), KV heads, head-dim blocks, positions, bytes] of a sequence's
    cache.
    """
    facts = manifest.cache
    start = manifest.kv_base(sequence) * BEAT_BYTES
    size = facts.segment_beats * BEAT_BYTES
    shape = (manifest.model.layers, 2, facts.heads, facts.blocks, facts.rows, size)
    data = memory[start : start + facts.sequence_beats * BEAT_BYTES]
    return data.view(np.int8).reshape(shape)
