# SPDX-License-Identifier: Apache-2.0
"""The command set: 64-byte commands, executed in program order by the sequencer.

A command has up to two parts. Its *fetch* part (read descriptors of LOAD, MATMUL and ATTEND) runs ahead of its
*execute* part, as far as buffers allow, unless `HOLD_FETCH` is set. The execute part starts when every unit named in
`wait` is idle. Offsets into DRAM count 16-byte beats from the DMA window base, so a program is position independent.
Addresses of the activation memory count W-byte words; a stride is the distance between the words of two rows.
A row is a token of the chunk. Row r of a MATMUL runs in lane r mod T of group r div T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from meadow.spec.layout import BitField, pack_fields, unpack_fields

__all__ = [
    "COMMAND_BYTES",
    "COMMON_FIELDS",
    "FIELDS",
    "MAX_PORTS",
    "Command",
    "Flag",
    "MatmulOutput",
    "Opcode",
    "Outputs",
    "RowSet",
    "Space",
    "TrafficClass",
    "Unit",
    "VectorFunction",
    "command_fields",
]

COMMAND_BYTES = 64
MAX_PORTS = 4


class Opcode(IntEnum):
    """What a command does; 0 is illegal so that empty memory is not a program."""

    LOAD = 1
    STORE = 2
    MATMUL = 3
    ATTEND = 4
    NORM = 5
    VECTOR = 6
    FENCE = 7
    END = 8


class Unit(IntFlag):
    """Bits of `wait`: the units that must be idle before a command executes."""

    ARRAY = 1
    VECTOR = 2
    LOADER = 4
    STORER = 8
    ALL = 15


class Outputs(IntFlag):
    """Bits of register `outputs` and of a command's `condition`: what of the LM head is asked for."""

    ARGMAX = 1
    LOGITS = 2


class Flag(IntFlag):
    """Bits of `flags`."""

    HOLD_FETCH = (
        1  # the fetch part waits until all earlier commands have executed and writes are answered
    )


class RowSet(IntEnum):
    """Which rows a command covers. FIXED takes the count from the command's `rows` field.

    CHUNK is all rows of the chunk (register `rows`). HEAD is the rows asked for of the LM head: with register
    `head_all` = 0 one row per sequence (its last; row s of the set is first_row + tokens - 1 of sequence s), else CHUNK.
    """

    FIXED = 0
    CHUNK = 1
    HEAD = 2


class MatmulOutput(IntEnum):
    """What the drain of a MATMUL writes."""

    INT8 = 0  # sat8(rq(acc + bias)), W elements per word
    RELU8 = 1  # max(0, INT8)
    RESIDUAL16 = 2  # r = sat16(r + sat16(rq(acc + bias))), W/2 little-endian elements per word, read and written
    LOGITS16 = 3  # sat16(rq(acc + bias)), W/2 elements per word, and running arg-max per row


class Space(IntEnum):
    """Destination of a LOAD."""

    ACTIVATION = 0
    NORM = 1  # norm parameter memory; W bytes = W/4 channels of {int16 gain, int16 offset} per word


class TrafficClass(IntEnum):
    """What a DRAM byte is counted as; padding and preambles count with what they belong to."""

    WEIGHTS = 0
    KV_READ = 1
    KV_WRITE = 2
    ACTIVATIONS = 3
    COMMANDS = 4


class VectorFunction(IntEnum):
    """Function of a VECTOR command."""

    ARGMAX = 0  # for row r of the row set write word destination + r*stride: {u32 index, s32 value, zeros}


COMMON_FIELDS = (
    BitField("opcode", 8, "Opcode"),
    BitField("wait", 8, "Unit bits that must be idle before execution"),
    BitField(
        "condition",
        8,
        "0, or Outputs bits of which one must be set in register `outputs`, else no effect",
    ),
    BitField("flags", 8, "Flag bits"),
)
_ROW_SET = BitField("row_set", 2, "RowSet")
_ROWS = BitField("rows", 20, "rows of a FIXED row set")

FIELDS: dict[Opcode, tuple[BitField, ...]] = {
    Opcode.LOAD: (
        BitField("destination", 20, "first word"),
        BitField("destination_stride", 12, "words from row to row"),
        BitField("space", 2, "Space"),
        BitField("offset", 32, "beats from the window base; rows follow each other without gaps"),
        BitField("row_beats", 20, "beats of a row, a multiple of W/16"),
        _ROW_SET,
        _ROWS,
        BitField("traffic", 3, "TrafficClass"),
    ),
    Opcode.STORE: (
        BitField("source", 20, "first word"),
        BitField("source_stride", 12, "words from row to row"),
        BitField("offset", 32, "beats from the window base"),
        BitField(
            "segments",
            12,
            "segments of a row; segment j starts at byte j*segment_beats*16 of the row",
        ),
        BitField("segment_beats", 12, "beats of a segment: at most W/16, or a multiple of W/16"),
        BitField(
            "segment_stride",
            28,
            "beats from segment j to j+1 in DRAM; row follows row after segment_beats",
        ),
        _ROW_SET,
        _ROWS,
        BitField(
            "cache",
            1,
            "1: per sequence, add its kv_base and start at row `position` of each segment (row_set CHUNK)",
        ),
        BitField("traffic", 3, "TrafficClass"),
    ),
    Opcode.MATMUL: (
        BitField(
            "source", 20, "first word of x; x of row r, tile k is word source + r*source_stride + k"
        ),
        BitField("source_stride", 12, "words from row to row"),
        BitField("tiles", 12, "W-column tiles of the contraction"),
        BitField("slices", 16, "W-channel slices of the output"),
        BitField(
            "destination", 20, "first word written; slice n of row r starts after n*W elements"
        ),
        BitField("destination_stride", 12, "words from row to row"),
        BitField("output", 4, "MatmulOutput"),
        _ROW_SET,
        BitField("first_channel", 20, "LOGITS16: arg-max index of channel 0 of this command"),
        BitField(
            "channels",
            20,
            "true output channels; LOGITS16: channels from here on never win the arg-max",
        ),
        BitField("restart", 1, "LOGITS16: 1 forgets earlier arg-max candidates"),
        *(
            BitField(f"{what}{port}", bits, f"port {port}: {doc}")
            for port in range(MAX_PORTS)
            for what, bits, doc in (
                ("offset", 32, "beats from the window base to its weight stream"),
                ("beats", 28, "length of its weight stream"),
            )
        ),
    ),
    Opcode.ATTEND: (
        BitField("query", 20, "first word of Q of this head; the attention output replaces it"),
        BitField("query_stride", 12, "words from row to row"),
        BitField("blocks", 6, "head-dim blocks: max(1, padded head dim / W)"),
        BitField("segment_beats", 5, "beats of one key in a block: min(W, padded head dim) / 16"),
        BitField(
            "column_beats",
            5,
            "position of the head inside its word, in 16-element units (head dim < W)",
        ),
        BitField(
            "key_offset", 32, "beats from a sequence's kv_base to K of this KV head and layer"
        ),
        BitField(
            "value_offset", 32, "beats from a sequence's kv_base to V of this KV head and layer"
        ),
        BitField("block_stride", 28, "beats from head-dim block to block: context * segment_beats"),
        BitField("score_multiplier", 16, "turns q.k into a base-2 score with 8 fraction bits"),
        BitField("score_shift", 6, "1..47"),
        BitField("output_multiplier", 16, "see numerics.output_scale"),
        BitField("output_shift", 7, "see numerics.output_scale", signed=True),
        BitField(
            "causal", 1, "1: a query sees keys up to its own position, 0: all keys of its sequence"
        ),
    ),
    Opcode.NORM: (
        BitField("source", 20, "first word of the INT16 rows (of the chunk; row_set HEAD gathers)"),
        BitField("source_stride", 12, "words from row to row"),
        BitField("destination", 20, "first word of the INT8 rows"),
        BitField("destination_stride", 12, "words from row to row"),
        BitField("words", 12, "INT16 words of a row: 2 * padded channels / W, even"),
        BitField("channels", 16, "true channels"),
        BitField("epsilon", 60, "added to channels*S2 - S1^2, >= 1"),
        BitField("mean_multiplier", 16, "mean: 16*S1/channels as a requantisation"),
        BitField("mean_shift", 6, "1..47"),
        BitField("norm_shift", 8, "see numerics.layer_norm_row", signed=True),
        BitField("offset_shift", 5, "0..16"),
        BitField("output_shift", 6, "1..32"),
        BitField("rms", 1, "1: RMS norm, the mean is taken as 0"),
        _ROW_SET,
        _ROWS,
    ),
    Opcode.VECTOR: (
        BitField("function", 4, "VectorFunction"),
        BitField("destination", 20, "first word"),
        BitField("destination_stride", 12, "words from row to row"),
        _ROW_SET,
        _ROWS,
    ),
    Opcode.FENCE: (),
    Opcode.END: (),
}
"""Fields of each opcode, packed from bit 32 of the command on, first field lowest.

FENCE executes when the units of its `wait` are idle and every write response has arrived. END ends the program once all
units are idle and every write response has arrived. NORM with row_set FIXED or CHUNK maps row r to row r.
"""


def command_fields(opcode: Opcode) -> tuple[BitField, ...]:
    """All fields of a command of this opcode, the common ones first."""
    return COMMON_FIELDS + FIELDS[opcode]


for _opcode in Opcode:
    if sum(_field.bits for _field in command_fields(_opcode)) > 8 * COMMAND_BYTES:
        raise AssertionError(f"{_opcode.name} does not fit {COMMAND_BYTES} bytes")


@dataclass(frozen=True)
class Command:
    """One command: opcode, common fields and the opcode's own fields by name (missing ones are 0)."""

    opcode: Opcode
    values: Mapping[str, int] = field(default_factory=dict)
    wait: Unit = Unit.ALL
    condition: Outputs = Outputs(0)
    flags: Flag = Flag(0)

    def encode(self) -> bytes:
        """The command's 64 little-endian bytes; ValueError names a field that does not fit."""
        values = dict(self.values)
        values.update(
            opcode=int(self.opcode),
            wait=int(self.wait),
            condition=int(self.condition),
            flags=int(self.flags),
        )
        return pack_fields(command_fields(self.opcode), values, self.opcode.name).to_bytes(
            COMMAND_BYTES, "little"
        )

    @classmethod
    def decode(cls, data: bytes) -> Command:
        """Inverse of `encode`; ValueError for a wrong length or an unknown opcode."""
        if len(data) != COMMAND_BYTES:
            raise ValueError(f"a command has {COMMAND_BYTES} bytes, not {len(data)}")
        word = int.from_bytes(data, "little")
        if word & 0xFF not in Opcode.__members__.values():
            raise ValueError(f"unknown opcode {word & 0xFF}")
        opcode = Opcode(word & 0xFF)
        values = unpack_fields(command_fields(opcode), word)
        common = {name.name: values.pop(name.name) for name in COMMON_FIELDS}
        return cls(
            opcode,
            values,
            Unit(common["wait"]),
            Outputs(common["condition"]),
            Flag(common["flags"]),
        )
