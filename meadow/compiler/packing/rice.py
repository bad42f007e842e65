# SPDX-License-Identifier: Apache-2.0
"""Rice coding: unary quotients in eight sub-streams, low bits raw, a parameter per group.

Source: R. F. Rice, "Some practical universal noiseless coding techniques", JPL 79-22, 1979.
Format: `meadow.spec.streams`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from meadow.compiler.packing.bit_fields import mode_carriers, mode_words, pack_octets
from meadow.spec.config import BEAT_BYTES
from meadow.spec.streams import (
    GROUP_WEIGHTS,
    LITERAL,
    MAX_QUOTIENT_BITS,
    MODE_BITS,
    PRIMER_WORDS,
    RUN_BITS,
    RUN_WEIGHTS,
    SUBSTREAMS,
    WORD_BYTES,
    Codec,
)

__all__ = ["RicePlan", "plan_rice"]

_CHOICES = (*range(MAX_QUOTIENT_BITS + 1), LITERAL)
_WORD_BITS = 8 * WORD_BYTES
_BEAT_WORDS = BEAT_BYTES // WORD_BYTES
_STEP_SUBSTREAMS = SUBSTREAMS // 2
_NEVER = 1 << 20
"""Bits of a group with a parameter it cannot use: more than any it can."""


@dataclass(frozen=True)
class RicePlan:
    """How one stream is coded; all groups of the matrix in stream order.

    widths: k of the four modes, ascending; z: uint8 [groups, SUBSTREAMS, RUN_WEIGHTS];
    modes: uint8 [slices, groups of a slice]; due: bool [groups, 2, SUBSTREAMS / 2], refills;
    starts: int64 [groups, 2], first word of a block, from the first word of its slice's payload;
    words: int64 [slices], of a payload, whole beats; payload_beats: of primer and all payloads.
    """

    widths: tuple[int, ...]
    z: np.ndarray
    modes: np.ndarray
    due: np.ndarray
    starts: np.ndarray
    words: np.ndarray

    @property
    def payload_beats(self) -> int:
        """Beats of primer and payloads."""
        return SUBSTREAMS + int(self.words.sum()) // _BEAT_WORDS

    @property
    def fields(self) -> dict[str, int]:
        """Preamble fields of this codec."""
        widths = {f"width{mode}": width for mode, width in enumerate(self.widths)}
        return {"codec": Codec.RICE, **widths}

    def body(self, headers: np.ndarray) -> bytes:
        """The stream after its preamble; headers: uint8 [slices, bytes], whole beats."""
        slices, groups = self.modes.shape
        header = np.ascontiguousarray(headers).view("<u4")
        pitch = header.shape[1] + self.words
        heads = SUBSTREAMS * PRIMER_WORDS + np.cumsum(pitch) - pitch
        payloads = heads + header.shape[1]
        body = np.zeros(SUBSTREAMS * PRIMER_WORDS + int(pitch.sum()), "<u4")
        body[heads[:, None] + np.arange(header.shape[1])] = header

        parameter = np.array(self.widths)[self.modes.reshape(-1)]
        place = np.repeat(payloads, groups)[:, None] + self.starts
        refill = np.cumsum(self.due, axis=2) - 1 + place[:, :, None]
        place += self.due.sum(axis=2)
        for number in range(SUBSTREAMS):
            half, lane = divmod(number, _STEP_SUBSTREAMS)
            chosen = np.flatnonzero(self.due[:, half, lane])
            string = _substream(self.z[:, number], parameter, PRIMER_WORDS + len(chosen))
            body[number * PRIMER_WORDS : (number + 1) * PRIMER_WORDS] = string[:PRIMER_WORDS]
            body[refill[chosen, half, lane]] = string[PRIMER_WORDS:]

        words = mode_words(self.modes)
        body[payloads] = words[:, 0]
        carrier = place.reshape(slices, groups, 2)[:, mode_carriers(groups), 0]
        body[carrier] = words[:, 1:]
        carrier += 1

        for width in set(self.widths) - {0}:
            chosen = np.flatnonzero(parameter == width)
            low = (self.z[chosen] & ((1 << width) - 1)).reshape(-1, RUN_WEIGHTS)
            raw = pack_octets(low, width).reshape(-1).view("<u4").reshape(-1, 2, width)
            body[place[chosen][:, :, None] + np.arange(width)] = raw
        return body.tobytes()


def plan_rice(payload: np.ndarray) -> RicePlan:
    """Code `payload` int8 [slices, weights], whole groups, with the four best parameters.

    A group's bits are known for every parameter, so all choices of four are compared; a parameter
    that makes a run longer than RUN_BITS is none of the group's.
    """
    slices = len(payload)
    z = _zigzag(payload).reshape(-1, SUBSTREAMS, RUN_WEIGHTS)
    runs = _run_bits(z)
    bits = np.array(_CHOICES)[:, None] * GROUP_WEIGHTS + runs.sum(axis=2, dtype=np.int64)
    bits[(runs > RUN_BITS).any(axis=2)] = _NEVER
    totals = {
        choice: int(np.minimum.reduce(bits[list(choice)]).sum())
        for choice in itertools.combinations(range(len(_CHOICES)), 1 << MODE_BITS)
    }
    chosen = min(totals, key=totals.__getitem__)
    modes = np.argmin(bits[list(chosen)], axis=0)
    widths = np.array(_CHOICES)[list(chosen)]

    groups = len(z) // slices
    used = runs[np.array(chosen)[modes], np.arange(len(z))]
    finished = np.cumsum(used, axis=0, dtype=np.int64) // _WORD_BITS
    due = np.zeros((len(z), SUBSTREAMS), bool)
    due[1:] = np.diff(finished, axis=0, prepend=0)[:-1] > 0
    due = due.reshape(len(z), 2, _STEP_SUBSTREAMS)
    length = due.sum(axis=2) + widths[modes][:, None]
    length.reshape(slices, groups, 2)[:, mode_carriers(groups), 0] += 1
    ends = 1 + np.cumsum(length.reshape(slices, -1), axis=1)
    return RicePlan(
        widths=tuple(int(width) for width in widths),
        z=z,
        modes=modes.astype(np.uint8).reshape(slices, groups),
        due=due,
        starts=ends.reshape(-1, 2) - length,
        words=-(-ends[:, -1] // _BEAT_WORDS) * _BEAT_WORDS,
    )


def _zigzag(weights: np.ndarray) -> np.ndarray:
    """2*w for w >= 0, else -2*w - 1, uint8 of int8."""
    wide = weights.view(np.uint8)
    return (wide << 1) ^ np.where(weights < 0, np.uint8(255), np.uint8(0))


def _run_bits(z: np.ndarray) -> np.ndarray:
    """Bits of every run with every parameter: uint16 [choices, groups, SUBSTREAMS]."""
    # Weights of a run apart in memory: sums along them are then sums of whole arrays.
    planes = np.ascontiguousarray(z.reshape(-1, RUN_WEIGHTS).T)
    runs = np.zeros((len(_CHOICES), len(z), SUBSTREAMS), np.uint16)
    for number, parameter in enumerate(_CHOICES):
        if parameter != LITERAL:
            total = (planes >> parameter).sum(axis=0, dtype=np.uint16) + np.uint16(RUN_WEIGHTS)
            runs[number] = total.reshape(-1, SUBSTREAMS)
    return runs


def _substream(z: np.ndarray, parameter: np.ndarray, words: int) -> np.ndarray:
    """The first `words` words, <u4, of a sub-stream with runs z uint8 [groups, RUN_WEIGHTS]."""
    coded = parameter != LITERAL
    quotient = z[coded] >> parameter[coded, None].astype(np.uint8)
    ones = np.cumsum(quotient.reshape(-1).astype(np.int64) + 1) - 1
    bits = np.zeros(words * _WORD_BITS, np.uint8)
    bits[ones] = 1
    return np.packbits(bits, bitorder="little").view("<u4")
