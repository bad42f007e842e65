# SPDX-License-Identifier: Apache-2.0
"""Loads of a decoder: streams and K/V rows with what must be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from hw_tests.rtl_gen.decoder.stream_packer import (
    draw_dictionary,
    draw_header,
    draw_rice,
    draw_table,
    pack_dictionary,
    pack_raw,
    pack_rice,
    reseal,
)
from hw_tests.seeds import salted
from hw_tests.unit_config import unit_config
from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import LITERAL

__all__ = ["CODECS", "QUAD", "Load", "Tile", "load_of"]

QUAD = unit_config(
    ports=4, groups=4, max_context=256, max_head_dim=64, norm_channels=256, prefetch_beats=32
)
"""Four ports of one tile row each."""
CODECS = ["raw", "chunk1", "chunk2", "fixed", "rice"]
Tile = list[list[int | None]]


@dataclass
class Load:
    """Beats and jobs for a decoder, and what it must write: tiles of rows of bytes or None,
    headers.

    Stall probabilities: of the beats and jobs (producer) and of the returned credits (consumer).
    """

    config: AcceleratorConfig
    random: Random
    producer: float = 0.0
    consumer: float = 0.0
    jobs: list[dict[str, int]] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    headers: list[bytes] = field(default_factory=list)

    def add_raw(self, *, slices: int, tiles: int) -> Load:
        """Random bytes."""
        size = self._elements(tiles)
        weights = [self.random.randbytes(size) for _ in range(slices)]
        headers = self._headers(slices)
        return self.add_stream(pack_raw(weights, headers), weights, headers, tiles)

    def add_dictionary(
        self,
        *,
        slices: int,
        tiles: int,
        chunk: int,
        widths: Sequence[int],
        entries: int,
        fixed: bool = False,
    ) -> Load:
        """Random indices below `entries` that fit the widths, in random modes that hold them."""
        table = draw_table(self.random, entries, chunk)
        weights = [
            draw_dictionary(
                self.random, self._elements(tiles), table, widths[:1] if fixed else widths
            )
            for _ in range(slices)
        ]
        headers = self._headers(slices)
        stream = pack_dictionary(
            weights, headers, table=table, widths=widths, fixed=fixed, random=self.random
        )
        return self.add_stream(stream, weights, headers, tiles)

    def add_rice(self, *, slices: int, tiles: int, widths: Sequence[int]) -> Load:
        """Random runs that fit the widths, in random modes that hold them."""
        size = self._elements(tiles)
        weights = [draw_rice(self.random, size, widths) for _ in range(slices)]
        headers = self._headers(slices)
        stream = pack_rice(weights, headers, widths=widths, random=self.random)
        return self.add_stream(stream, weights, headers, tiles)

    def add_cache(
        self, *, rows: int, segment_beats: int, column_beats: int, content: bytes = b""
    ) -> Load:
        """A K/V tile of these rows, by default of random ones."""
        size = 16 * segment_beats
        content = content or self.random.randbytes(rows * size)
        tile: Tile = [[None] * self.config.width for _ in range(self.config.port_rows)]
        for row in range(rows):
            own = content[row * size :][:size]
            first = 16 * column_beats
            tile[row][first : first + size] = _within_limit(own)
            self._add_bytes(own)
        self.tiles.append(tile)
        shape = {"rows": rows, "segment_beats": segment_beats, "column_beats": column_beats}
        self.jobs.append({"cache": 1, "beats": rows * segment_beats, **shape})
        return self

    def add_load(self, other: Load) -> Load:
        """What `other` has, behind what is here."""
        self.jobs += other.jobs
        self.beats += other.beats
        self.tiles += other.tiles
        self.headers += other.headers
        return self

    def stream(self) -> bytes:
        """All beats."""
        return b"".join(beat.to_bytes(16, "little") for beat in self.beats)

    def spoiled(self, stream: bytes) -> Load:
        """A load of one stream with other bytes, whose job says how many beats they are; nothing
        need be written.
        """
        only = {**self.jobs[0], "beats": len(stream) // 16}
        spoiled = Load(self.config, self.random, jobs=[only])
        spoiled._add_bytes(stream)
        return spoiled

    def resealed(self, **fields: int) -> Load:
        """A load of one stream with other fields in its preamble and the checksum that is right for
        it.
        """
        return self.spoiled(reseal(self.stream(), **fields))

    def _elements(self, tiles: int) -> int:
        return tiles * self.config.port_rows * self.config.width

    def _headers(self, slices: int) -> list[bytes]:
        return [draw_header(self.random, self.config.port_rows) for _ in range(slices)]

    def _add_bytes(self, stream: bytes) -> None:
        assert len(stream) % 16 == 0
        for start in range(0, len(stream), 16):
            self.beats.append(int.from_bytes(stream[start : start + 16], "little"))

    def add_stream(
        self, stream: bytes, weights: list[bytes], headers: list[bytes], tiles: int
    ) -> Load:
        """A packed stream of known content: weights and header of every slice."""
        width, port_rows = self.config.width, self.config.port_rows
        everything = _within_limit(b"".join(weights))
        rows: Tile = [
            list(everything[start : start + width]) for start in range(0, len(everything), width)
        ]
        self.tiles += [rows[start : start + port_rows] for start in range(0, len(rows), port_rows)]
        self.headers += headers
        self.jobs.append({"slices": len(weights), "tiles": tiles, "beats": len(stream) // 16})
        self._add_bytes(stream)
        return self


def _within_limit(elements: bytes) -> bytes:
    """What is written of signed bytes: -127 for -128."""
    return elements.replace(b"\x80", b"\x81")


def load_of(codec: str, config: AcceleratorConfig, seed: int, *, slices: int, tiles: int) -> Load:
    """One stream with all the rare things of its codec: every width, refills at any place, literal
    groups.
    """
    load = Load(config, Random(salted(seed)))
    if codec == "raw":
        return load.add_raw(slices=slices, tiles=tiles)
    if codec == "rice":
        return load.add_rice(slices=slices, tiles=tiles, widths=[0, 2, 5, LITERAL])
    if codec == "chunk1":
        return load.add_dictionary(
            slices=slices, tiles=tiles, chunk=1, widths=[0, 3, 5, 8], entries=131
        )
    return load.add_dictionary(
        slices=slices,
        tiles=tiles,
        chunk=2,
        widths=[7, 0, 0, 0] if codec == "fixed" else [1, 4, 7, 8],
        entries=101 if codec == "fixed" else 200,
        fixed=codec == "fixed",
    )
