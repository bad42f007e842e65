# SPDX-License-Identifier: Apache-2.0
"""Programs that make each kind of access to DRAM at a place of choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meadow.compiler.packing.packing import pack_matrix
from meadow.model.quantised import QuantisedLinear
from meadow.spec.commands import Command, Opcode, RowSet, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.step import Sequence, Step

__all__ = ["DATA", "SCRATCH", "STREAMS", "WINDOW_BEATS", "Access", "accesses", "streams"]

WINDOW_BEATS = 4096
STREAMS = 1024
"""Beat of the first of the ports' weight streams."""
DATA = 2048
"""Beat of what is free for an access that is allowed."""
SCRATCH = 3072
"""Beat of a KV cache, and of what the program after a refused one writes."""

_TOKENS = 4
_ONE = Step((Sequence(SCRATCH, 0, _TOKENS),))

Build = Callable[[int], tuple[dict[str, int], Step]]


@dataclass(frozen=True)
class Access:
    """A command whose access of `beats` beats starts at a beat of the window that is given.

    build: from that beat the command's fields and the step; a field that cannot say so does not fit
        its bits.
    allowed: first beats of further accesses, as long, that the command makes in any case. content:
        what must be there.
    """

    name: str
    opcode: Opcode
    beats: int
    build: Build
    allowed: tuple[int, ...] = ()
    content: bytes = b""

    def command(self, place: int) -> tuple[bytes, Step]:
        """The command and the step for an access at beat `place`; ValueError if no field can say
        so.
        """
        fields, step = self.build(place)
        if any(entry.kv_base >= 1 << 32 for entry in step.sequences):
            raise ValueError("kv_base has 32 bits")
        return Command(self.opcode, fields).encode(), step


def streams(config: AcceleratorConfig) -> tuple[bytes, ...]:
    """Weight streams of one tile, as long as each other."""
    linear = QuantisedLinear(
        weight=np.ones((config.width, config.width), np.int8),
        bias=np.zeros(config.width, np.int32),
        multiplier=np.full(config.width, 1 << 15, np.uint16),
        shift=np.full(config.width, 20, np.uint8),
    )
    return pack_matrix(linear, config, "raw").streams


def accesses(config: AcceleratorConfig) -> list[Access]:
    """Every way in which a command reads or writes DRAM."""
    beats, keys = config.word_beats, config.width
    rows = dict(row_set=RowSet.FIXED, rows=_TOKENS)
    few = _TOKENS * beats

    def load(space: Space) -> Build:
        fields = dict(space=space, destination_stride=1, row_beats=beats) | rows
        return lambda place: (fields | dict(offset=place), _ONE)

    store = dict(source_stride=1, segments=1, segment_beats=beats)
    cache = store | dict(cache=1, row_set=RowSet.CHUNK)
    stride = store | rows | dict(segments=2, source_stride=2, offset=DATA)

    def position(place: int) -> tuple[dict[str, int], Step]:
        return cache, Step((Sequence(place - 100 * beats, 100, _TOKENS),))

    attend = dict(blocks=1, segment_beats=beats, score_shift=9, heads=1, causal=1, query_stride=1)
    attend |= dict(key_offset=0, value_offset=0, score_multiplier=1, output_multiplier=1)

    def cached(base: int) -> Step:
        return Step((Sequence(base, keys - _TOKENS, _TOKENS),))

    def offset(name: str) -> Build:
        return lambda place: (attend | {name: place - SCRATCH}, cached(SCRATCH))

    wide = attend | dict(blocks=2, query_stride=2)
    found = [
        *(
            Access(f"load_{space.name.lower()}", Opcode.LOAD, few, load(space))
            for space in (Space.ACTIVATION, Space.NORM, Space.TABLE)
        ),
        Access("store", Opcode.STORE, few, lambda p: (store | rows | dict(offset=p), _ONE)),
        Access(
            "store_stride",
            Opcode.STORE,
            few,
            lambda place: (stride | dict(segment_stride=place - DATA), _ONE),
            allowed=(DATA,),
        ),
        Access(
            "cache_offset",
            Opcode.STORE,
            few,
            lambda place: (cache | dict(offset=place - SCRATCH), _ONE),
        ),
        Access(
            "cache_base",
            Opcode.STORE,
            few,
            lambda place: (cache, Step((Sequence(place, 0, _TOKENS),))),
        ),
        Access("cache_position", Opcode.STORE, few, position),
        Access("attend_keys", Opcode.ATTEND, keys * beats, offset("key_offset")),
        Access("attend_values", Opcode.ATTEND, keys * beats, offset("value_offset")),
        Access("attend_base", Opcode.ATTEND, keys * beats, lambda place: (attend, cached(place))),
        Access(
            "attend_stride",
            Opcode.ATTEND,
            keys * beats,
            lambda place: (wide | dict(block_stride=place - SCRATCH), cached(SCRATCH)),
        ),
    ]
    packed = streams(config)
    size = len(packed[0]) // BEAT_BYTES
    matmul = dict(tiles=1, slices=1, row_set=RowSet.CHUNK, source_stride=1, destination_stride=1)
    matmul |= {f"offset{port}": STREAMS + port * size for port in range(config.ports)}
    matmul |= {f"beats{port}": size for port in range(config.ports)}

    def stream(port: int) -> Build:
        return lambda place: (matmul | {f"offset{port}": place}, _ONE)

    found += [
        Access(f"matmul_port{port}", Opcode.MATMUL, size, stream(port), content=packed[port])
        for port in range(config.ports)
    ]
    return found
