# SPDX-License-Identifier: Apache-2.0
"""Unpacking of a Rice stream: find the blocks, put sub-streams together, join quotients and low
bits.

Where a block starts depends on the words that earlier blocks have finished. A word's ones alone say
in which run it is finished, so a walk over groups needs only counts of words, no codewords; all
that follows is done for the whole stream at once. Format: `meadow.spec.streams`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meadow.golden.streams.parts import MODES, StreamError, StreamShape, unpack_octets
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.streams import (
    GROUP_WEIGHTS,
    LITERAL,
    MAX_QUOTIENT_BITS,
    MODE_BITS,
    MODES_PER_WORD,
    PRIMER_WORDS,
    RUN_BITS,
    RUN_WEIGHTS,
    SUBSTREAMS,
    WORD_BYTES,
)

__all__ = ["unpack_rice"]

_BEAT_WORDS = BEAT_BYTES // WORD_BYTES
_HALF = SUBSTREAMS // 2


def unpack_rice(
    view: memoryview, fields: dict[str, int], shape: StreamShape, _config: AcceleratorConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Payload int8 [slices * weights] and headers uint8 [slices, bytes] of a whole stream.

    fields: of its preamble.
    """
    widths = [fields[f"width{mode}"] for mode in range(MODES)]
    if any(width > MAX_QUOTIENT_BITS and width != LITERAL for width in widths):
        raise StreamError(
            f"rice parameters must be 0..{MAX_QUOTIENT_BITS} or {LITERAL}, not {widths}"
        )
    if fields["fixed"]:
        raise StreamError("a rice stream has mode words: its fixed field must be 0")
    words = np.frombuffer(view, "<u4")
    walk = _Walk(words, widths, shape)
    failure = walk.find_error()
    parameter = np.array(walk.parameters, np.int64)
    coded = np.flatnonzero(parameter != LITERAL)
    # A run that is too long leads the walk astray: it is the fault that has to be named.
    quotients = [
        _quotients(words[places], len(coded), number, complete=failure is None)
        for number, places in enumerate(walk.places)
    ]
    if failure is not None:
        raise failure
    z = _low_bits(words, np.array(walk.blocks).reshape(-1, 2), parameter)
    high = np.stack(quotients, axis=1) << parameter[coded, None, None]
    if high.max(initial=0) > 255:
        raise StreamError(f"rice number {int(high.max())} is beyond 8 bits")
    z[coded] |= high.astype(np.uint8)
    payload = (z >> 1) ^ -(z & 1)
    headers = np.array(walk.heads)[:, None] + np.arange(shape.header_bytes // WORD_BYTES)
    return payload.reshape(-1).view(np.int8), words[headers].view(np.uint8)


@dataclass
class _Walk:
    """Places, in words of the stream, of all that it holds.

    places: of every sub-stream's words; blocks: of the raw words, two of each group; parameters: k
    of the groups; heads: of the slices' headers.
    """

    words: np.ndarray
    widths: list[int]
    shape: StreamShape
    places: list[list[int]] = field(init=False)
    blocks: list[int] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.places = [[] for _ in range(SUBSTREAMS)]
        # A word is finished by the codeword of its last bit: the one that ends there, or the next.
        self._ones = np.bitwise_count(self.words).tolist()
        self._last = (self.words >> 31).tolist()
        self._total = [0] * SUBSTREAMS
        # _finished[r]: bit c is set if run r finishes a word of sub-stream c. Words after the last
        # run finish in runs that do not exist.
        self._finished = bytearray(len(self.words) * 8 * WORD_BYTES // RUN_WEIGHTS + 1)
        self._due, self._run = 0, 0
        refills = [(c, 1 << c, self.places[c].append) for c in range(SUBSTREAMS)]
        self._low, self._high = (
            [[entry for entry in half if mask & entry[1]] for mask in range(1 << SUBSTREAMS)]
            for half in (refills[:_HALF], refills[_HALF:])
        )

    def find_error(self) -> StreamError | None:
        """Walk the stream; the error that ends it."""
        words, position = len(self.words), _BEAT_WORDS
        if words < position + SUBSTREAMS * PRIMER_WORDS:
            return StreamError("rice stream ends inside its primer")
        for number in range(SUBSTREAMS):
            self._prime(number, position)
            position += PRIMER_WORDS
        for index in range(self.shape.slices):
            self.heads.append(position)
            position += self.shape.header_bytes // WORD_BYTES
            if position > words:
                return StreamError(f"rice stream ends inside the header of slice {index}")
            try:
                end = self._slice(position, index)
            except StreamError as error:
                return error
            except IndexError:
                end = words + 1
            position = -(-end // _BEAT_WORDS) * _BEAT_WORDS
            if position > words:
                return StreamError(f"rice stream ends inside the blocks of slice {index}")
            if self.words[end:position].any():
                return StreamError(f"rice padding after slice {index} must be zero")
        if position != words:
            return StreamError(
                f"rice stream ends at byte {position * WORD_BYTES}, "
                f"its length is {words * WORD_BYTES}"
            )
        return None

    def _prime(self, number: int, place: int) -> None:
        """The first words of a sub-stream, from word `place` on."""
        for position in range(place, place + PRIMER_WORDS):
            self.places[number].append(position)
            self._total[number] += self._ones[position]
            run = (self._total[number] - self._last[position]) // RUN_WEIGHTS
            self._finished[run] |= 1 << number

    def _slice(self, position: int, index: int) -> int:
        """Word after the blocks of slice `index`; IndexError beyond the end of the stream."""
        groups = self.shape.weights // GROUP_WEIGHTS
        word, position = int(self.words[position]), position + 1
        for first in range(0, groups, MODES_PER_WORD):
            count = min(groups - first, MODES_PER_WORD)
            if word >> count * MODE_BITS:
                raise StreamError(f"rice modes after slice {index} must be zero")
            modes = [word >> MODE_BITS * place & (MODES - 1) for place in range(count)]
            more = first + MODES_PER_WORD < groups
            word, position = self._groups_of_word(position, [self.widths[m] for m in modes], more)
        return position

    def _groups_of_word(self, position: int, parameters: list[int], more: bool) -> tuple[int, int]:
        """The next mode word, if there are more, and the word after the groups of one."""
        ones, last, total, finished = self._ones, self._last, self._total, self._finished
        due, run, low, high = self._due, self._run, self._low, self._high
        append, known, word = self.blocks.append, self.parameters.append, 0
        for parameter in parameters:
            for c, bit, place in low[due]:
                total[c] = count = total[c] + ones[position]
                finished[(count - last[position]) // RUN_WEIGHTS] |= bit
                place(position)
                position += 1
            if more:
                word, more = int(self.words[position]), False
                position += 1
            append(position)
            position += parameter
            for c, bit, place in high[due]:
                total[c] = count = total[c] + ones[position]
                finished[(count - last[position]) // RUN_WEIGHTS] |= bit
                place(position)
                position += 1
            append(position)
            position += parameter
            known(parameter)
            if parameter == LITERAL:
                due = 0
            else:
                due = finished[run]
                run += 1
        self._due, self._run = due, run
        return word, position


def _quotients(words: np.ndarray, runs: int, number: int, *, complete: bool) -> np.ndarray:
    """Quotients int64 [runs, RUN_WEIGHTS] of a sub-stream's words; StreamError for a run without
    its codewords in RUN_BITS, and, if these are all words, for ones beyond the last run."""
    ones = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
    ends = ones[RUN_WEIGHTS - 1 :: RUN_WEIGHTS][:runs]
    longer = np.flatnonzero(np.diff(ends, prepend=-1) > RUN_BITS)
    if len(longer) or len(ends) < runs:
        run = int(longer[0]) if len(longer) else len(ends)
        raise StreamError(
            f"rice run {run} of sub-stream {number} has not {RUN_WEIGHTS} codewords "
            f"in {RUN_BITS} bits"
        )
    if complete and len(ones) > runs * RUN_WEIGHTS:
        raise StreamError(f"rice padding of sub-stream {number} must be zero")
    return np.diff(ones[: runs * RUN_WEIGHTS], prepend=-1).reshape(-1, RUN_WEIGHTS) - 1


def _low_bits(words: np.ndarray, blocks: np.ndarray, parameter: np.ndarray) -> np.ndarray:
    """Low bits uint8 [groups, SUBSTREAMS, RUN_WEIGHTS] of all weights."""
    z = np.zeros((len(parameter), SUBSTREAMS, RUN_WEIGHTS), np.uint8)
    for width in set(parameter.tolist()) - {0}:
        chosen = np.flatnonzero(parameter == width)
        raw = words[blocks[chosen][:, :, None] + np.arange(width)].reshape(-1)
        octets = unpack_octets(raw.view(np.uint8).reshape(-1, width), width)
        z[chosen] = octets.reshape(-1, SUBSTREAMS, RUN_WEIGHTS)
    return z
