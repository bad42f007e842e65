# SPDX-License-Identifier: Apache-2.0
"""ATTEND and SOFTMAX on the architectural machine: attention on chip, and in the baseline's parts.

Layout of a row of the scores area, in words: 0 the total, 1 + 2*b + h half h of key block b.
"""

from __future__ import annotations

import numpy as np

from meadow.golden.machine.state import Fields, MachineState, require
from meadow.golden.numerics import softmax_rows, within_limit
from meadow.golden.tiers.attention import attend, mix_values, scores16
from meadow.spec.commands import AttendPart, TrafficClass
from meadow.spec.config import BEAT_BYTES
from meadow.spec.step import Sequence, Step

__all__ = ["run_attend", "run_softmax"]

_MASKED_SCORE = -(1 << 15)


def run_attend(state: MachineState, fields: Fields, step: Step) -> None:
    """One ATTEND with fields in their ranges; MachineError if they do not fit the step."""
    config = state.config
    part = AttendPart(fields["part"])
    _check_part(state, fields, step, part)
    beats, heads = fields["segment_beats"], fields["heads"]
    blocks, column = fields["blocks"], fields["column_beats"]
    address = state.words(
        fields["query"], fields["query_stride"], step.rows, blocks * heads, "ATTEND query"
    )
    # Only what fills whole words has exponents.
    output_bits = 16 if beats == config.word_beats else 8
    place = slice(column * BEAT_BYTES, (column + beats) * BEAT_BYTES)
    for entry in step.sequences:
        if fields["rows"]:
            first = fields["first"]
            entry = Sequence(
                entry.kv_base, entry.position + first, fields["rows"], entry.first_row + first
            )
        groups = -(-entry.tokens // (config.lanes // heads))
        require(
            groups <= config.groups,
            f"ATTEND must need at most {config.groups} token groups of {config.lanes // heads}",
            groups,
        )
        words = address[entry.first_row : entry.first_row + entry.tokens]
        query = state.activations[words, place].reshape(entry.tokens, heads, -1).view(np.int8)
        if part == AttendPart.SCORES:
            _scores(state, fields, entry, query[:, 0])
            continue
        if part == AttendPart.VALUES:
            result = _values(state, fields, entry, output_bits)[:, None]
        else:
            keys, values = (
                _cached(state, fields, entry, name) for name in ("key_offset", "value_offset")
            )
            # The heads of a token are further query rows.
            result = attend(
                query.reshape(entry.tokens * heads, -1),
                keys,
                values,
                positions=np.repeat(entry.position + np.arange(entry.tokens), heads),
                width=config.width,
                probability_bits=config.probability_bits,
                score_multiplier=fields["score_multiplier"],
                score_shift=fields["score_shift"],
                output_multiplier=fields["output_multiplier"],
                output_shift=fields["output_shift"],
                output_bits=output_bits,
                causal=bool(fields["causal"]),
            )
        if output_bits == 16:
            state.write_words(words, result.reshape(entry.tokens, -1))
        else:
            result = np.ascontiguousarray(result).view(np.uint8)
            state.activations[words, place] = result.reshape(*words.shape, -1)


def run_softmax(state: MachineState, fields: Fields) -> None:
    """One SOFTMAX with fields in their ranges; MachineError for rows that lie over each other."""
    config, rows = state.config, fields["rows"]
    seen = fields["keys"] + (np.arange(rows) if fields["causal"] else np.zeros(rows, int))
    _require_stride("SOFTMAX source_stride", fields["source_stride"], rows, seen[-1], config.width)
    area = _Area(state, fields["source"], fields["source_stride"], seen, "SOFTMAX source")
    key = np.arange(area.keys)
    power, total = softmax_rows(area.read(), key < seen[:, None], config.probability_bits)
    area.write(power)
    words = np.zeros((rows, config.width // 4), "<u4")
    words[:, 0] = total
    state.write(area.address[:, :1], words)


class _Area:
    """Rows of a scores area of which row r sees seen[r] keys: 16-bit elements [rows, keys].

    keys: of all blocks that any group of T rows sees; `group_keys` [rows], of those that the row's
    own group sees; elements beyond them are not written.
    """

    def __init__(
        self, state: MachineState, first: int, stride: int, seen: np.ndarray, what: str
    ) -> None:
        self.state = state
        width, lanes = state.config.width, state.config.lanes
        rows = np.arange(len(seen))
        last = np.minimum(rows // lanes * lanes + lanes - 1, len(seen) - 1)
        self.group_keys = -(-seen[last] // width) * width
        self.keys = int(self.group_keys.max())
        self.address = state.words(first, stride, len(seen), 1 + 2 * self.keys // width, what)

    def read(self) -> np.ndarray:
        """int16 elements [rows, keys]."""
        words = self.state.activations[self.address[:, 1:]]
        return words.reshape(len(words), -1).view("<i2")

    def write(self, elements: np.ndarray) -> None:
        """Elements [rows, keys] of the blocks that each row's group sees."""
        kept = np.arange(self.keys) >= self.group_keys[:, None]
        address = self.address[:, 1:]
        merged = np.where(kept, self.read(), elements).astype("<i2")
        kept_words = kept[:, :: self.state.config.width // 2]
        exponents = np.where(kept_words, self.state.exponents[address], 0)
        self.state.write(address, merged, exponents)


def _scores(state: MachineState, fields: Fields, entry: Sequence, query: np.ndarray) -> None:
    seen = _visible(fields, entry)
    keys = _cached(state, fields, entry, "key_offset")
    area = _Area(state, fields["scores"], fields["scores_stride"], seen, "ATTEND scores")
    scores = np.full((entry.tokens, area.keys), _MASKED_SCORE, np.int64)
    scores[:, : len(keys)] = scores16(
        query, keys, fields["score_multiplier"], fields["score_shift"]
    )
    scores[np.arange(area.keys) >= seen[:, None]] = _MASKED_SCORE
    area.write(scores)


def _values(state: MachineState, fields: Fields, entry: Sequence, output_bits: int) -> np.ndarray:
    """The attention output int8 or int16 [tokens, head dim] from probabilities and totals."""
    seen = _visible(fields, entry)
    values = _cached(state, fields, entry, "value_offset")
    area = _Area(state, fields["scores"], fields["scores_stride"], seen, "ATTEND scores")
    power = area.read().astype(np.int64)
    power[np.arange(area.keys) >= area.group_keys[:, None]] = 0
    limit = (1 << state.config.probability_bits) - 1
    wrong = power[(power < 0) | (power > limit)]
    require(
        not wrong.size, f"ATTEND probabilities must be in 0..{limit}", wrong[0] if wrong.size else 0
    )
    stray = power[:, len(values) :]
    require(
        not stray.any(),
        f"ATTEND probabilities must be 0 from key {len(values)} on",
        int(stray.max(initial=0)),
    )
    total = state.activations[area.address[:, 0]].view("<u4")[:, 0]
    return mix_values(
        power[:, : len(values)],
        total.astype(np.int64),
        values,
        fields["output_multiplier"],
        fields["output_shift"],
        output_bits,
    )


def _visible(fields: Fields, entry: Sequence) -> np.ndarray:
    """Keys that each token sees: int64 [tokens]."""
    if fields["causal"]:
        return entry.position + 1 + np.arange(entry.tokens)
    return np.full(entry.tokens, entry.position + entry.tokens)


def _cached(state: MachineState, fields: Fields, entry: Sequence, offset: str) -> np.ndarray:
    """K or V of one head of a sequence, as it is multiplied: int8 [position + tokens, padded head
    dim].
    """
    keys, size = entry.position + entry.tokens, fields["segment_beats"] * BEAT_BYTES
    start = entry.kv_base + fields[offset]
    parts = [
        state.window(start + block * fields["block_stride"], keys * size, "ATTEND").reshape(
            keys, -1
        )
        for block in range(fields["blocks"])
    ]
    state.traffic[TrafficClass.KV_READ] += keys * size * len(parts)
    return within_limit(np.concatenate(parts, axis=1).view(np.int8))


def _check_part(state: MachineState, fields: Fields, step: Step, part: AttendPart) -> None:
    first, rows, sequences = fields["first"], fields["rows"], len(step.sequences)
    if part != AttendPart.WHOLE:
        require(sequences == 1, f"ATTEND {part.name} must be run with one sequence", sequences)
    if rows:
        require(sequences == 1, "ATTEND with rows must be run with one sequence", sequences)
        tokens = step.sequences[0].tokens
        require(
            first + rows <= tokens if fields["causal"] else first + rows == tokens,
            "ATTEND first + rows must "
            + ("not exceed" if fields["causal"] else "equal")
            + f" the {tokens} tokens of the sequence",
            first + rows,
        )
    if part != AttendPart.WHOLE:
        entry = step.sequences[0]
        count = rows or entry.tokens
        keys = entry.position + first + count
        _require_stride(
            "ATTEND scores_stride", fields["scores_stride"], count, keys, state.config.width
        )


def _require_stride(what: str, stride: int, rows: int, keys: int, width: int) -> None:
    """Rows must not lie over each other: a row has 1 + 2 * key blocks words."""
    words = 1 + 2 * -(-int(keys) // width)
    require(rows == 1 or stride >= words, f"{what} must be at least {words}", stride)
