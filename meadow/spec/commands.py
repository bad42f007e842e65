# SPDX-License-Identifier: Apache-2.0
# Longer than 300 lines: one table, every command with its fields and what they mean.
"""The command set: 64-byte commands, executed in program order by the sequencer.

A command has up to two parts. Its *fetch* part (read descriptors of LOAD, MATMUL and ATTEND) runs
ahead of its *execute* part, as far as buffers allow, unless `HOLD_FETCH` is set. The execute part
starts when every unit named in `wait` is idle. Offsets into DRAM count 16-byte beats from the DMA
window base, so a program is position independent. Addresses of the activation memory count W-byte
words; a stride is the distance between the words of two rows. A row is a token of the chunk. Row r
of a MATMUL runs in lane r mod T of group r div T.

The last four bytes of a command are the CRC-32 (zlib) of the bytes before them. The sequencer
executes nothing of a command whose CRC-32 differs or of which a field is out of its range
(meadow.spec.ranges).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from meadow.spec.epilogue import Epilogue, outputs_with
from meadow.spec.layout import BitField, pack_fields, unpack_fields
from meadow.spec.numerics import EXPONENT_BITS

__all__ = [
    "CHECK_BYTES",
    "COMMAND_BYTES",
    "COMMON_FIELDS",
    "FIELDS",
    "MAX_PORTS",
    "UNIT_OF",
    "AttendPart",
    "Command",
    "Flag",
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
CHECK_BYTES = 4
"""CRC-32 at the end of a command."""
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
    SOFTMAX = 9


class Unit(IntFlag):
    """Bits of `wait`: the units that must be idle before a command executes."""

    ARRAY = 1
    VECTOR = 2
    LOADER = 4
    STORER = 8
    ALL = 15


UNIT_OF = {
    Opcode.LOAD: Unit.LOADER,
    Opcode.STORE: Unit.STORER,
    Opcode.MATMUL: Unit.ARRAY,
    Opcode.ATTEND: Unit.ARRAY,
    Opcode.NORM: Unit.VECTOR,
    Opcode.VECTOR: Unit.VECTOR,
    Opcode.SOFTMAX: Unit.VECTOR,
}
"""Units that execute commands; FENCE and END need none."""


class Outputs(IntFlag):
    """Bits of register `outputs` and of a command's `condition`: what is asked for, and which
    variant runs.

    ARGMAX, LOGITS: what of the LM head is asked for (LOGITS: also the hidden states of a model
        without head).
    NARROW, WIDE: exactly one of them is set; NARROW if all query heads of a KV head fit the array's
    token groups together (see `Step.outputs_register`), so that K and V are read once for all of
    them.
    """

    ARGMAX = 1
    LOGITS = 2
    NARROW = 4
    WIDE = 8


class Flag(IntFlag):
    """Bits of `flags`."""

    HOLD_FETCH = (
        1  # the fetch part waits until all earlier STOREs have executed and writes are answered
    )


class RowSet(IntEnum):
    """Which rows a command covers. FIXED takes the count from the command's `rows` field.

    CHUNK is all rows of the chunk (register `rows`). HEAD is the rows asked for of the LM head:
    with register `head_all` = 0 one row per sequence (its last; row s of the set is first_row +
    tokens - 1 of sequence s), else CHUNK.
    """

    FIXED = 0
    CHUNK = 1
    HEAD = 2


class AttendPart(IntEnum):
    """Which part of attention an ATTEND does; all but WHOLE belong to the layer-by-layer baseline.

    WHOLE: scores, online softmax and P.V on chip (TPHS).
    SCORES: row r of the scores area, word 1 + 2*b + h: INT16 scores of keys b*W + h*W/2 .. of key
    block b, for the blocks that the row's group sees (see SOFTMAX); a masked key's score is -2^15.
    Word 0 and other words are kept.
    VALUES: the row's probabilities, at the same places, and its total, u32 in word 0, give the
        output in place of Q.
    """

    WHOLE = 0
    SCORES = 1
    VALUES = 2


class Space(IntEnum):
    """Destination of a LOAD."""

    ACTIVATION = 0
    NORM = 1  # norm parameter memory; W bytes = W/4 channels of {int16 gain, int16 offset} per word
    # activation table: word k holds its INT16 entries k*W/2 .. k*W/2+W/2-1; numerics.TABLE_ENTRIES
    # in all
    TABLE = 2


class TrafficClass(IntEnum):
    """What a DRAM byte is counted as; padding and preambles count with what they belong to."""

    WEIGHTS = 0
    KV_READ = 1
    KV_WRITE = 2
    ACTIVATIONS = 3
    COMMANDS = 4


class VectorFunction(IntEnum):
    """Function of a VECTOR command."""

    # for row r of the row set write word destination + r*stride: {u32 index, s32 value, zeros}
    ARGMAX = 0


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


def _outputs(holds: Callable[[Epilogue], bool]) -> str:
    return ", ".join(output.name for output in outputs_with(holds))


_OPERAND = _outputs(lambda epilogue: epilogue.operand)
_SHIFTED = _outputs(lambda epilogue: epilogue.post_shift)
_COMPARED = _outputs(lambda epilogue: epilogue.arg_max)

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
            "1: per sequence, add its kv_base and start at row `position` of each segment "
            "(row_set CHUNK)",
        ),
        BitField("traffic", 3, "TrafficClass"),
        BitField(
            "exponents",
            1,
            "1: a word stands for its exponent, {u8 exponent, zeros}, instead of its bytes",
        ),
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
        BitField("first_channel", 20, f"{_COMPARED}: arg-max index of channel 0 of this command"),
        BitField(
            "channels",
            20,
            f"true output channels; {_COMPARED}: channels from here on never win the arg-max",
        ),
        BitField("restart", 1, f"{_COMPARED}: 1 forgets earlier arg-max candidates"),
        BitField(
            "operand",
            20,
            f"{_OPERAND}: first operand word; channels c*W/2 .. of row r use word operand + "
            "r*operand_stride + c mod operand_words",
        ),
        BitField("operand_stride", 12, "words from row to row"),
        BitField(
            "operand_words",
            6,
            "operand words of a row that repeat, a power of two; 0: as many as there are, none "
            "repeats",
        ),
        BitField("post_shift", 6, f"{_SHIFTED}: rounding shift, 1..31"),
        BitField(
            "exponent",
            EXPONENT_BITS,
            "0: the words of x have their own exponents; else all of them have this one",
        ),
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
        BitField(
            "heads",
            8,
            "query heads that share K and V, 1..T; Q of head h is h*blocks words after that of "
            "head 0",
        ),
        BitField("part", 2, "AttendPart; SCORES and VALUES need heads = 1 and one sequence"),
        BitField(
            "first",
            16,
            "part of the new tokens, with rows > 0: tokens first .. first + rows - 1 of the "
            "sequence",
        ),
        BitField("rows", 16, "0: all new tokens of every sequence; else one sequence only"),
        BitField(
            "scores", 20, "SCORES, VALUES: first word of the scores area; row 0 is token `first`"
        ),
        BitField("scores_stride", 12, "words from row to row: at least 1 + 2 * key blocks"),
    ),
    Opcode.NORM: (
        BitField("source", 20, "first word of the INT16 rows (of the chunk; row_set HEAD gathers)"),
        BitField("source_stride", 12, "words from row to row"),
        BitField("destination", 20, "first word of the rows of words with exponents"),
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
        BitField(
            "residual",
            1,
            "1: the normalised row also replaces its source, as INT16 (post-norm; not with "
            "row_set HEAD)",
        ),
        BitField("residual_shift", 6, "1..32, of the INT16 result; see numerics.layer_norm_row"),
    ),
    Opcode.SOFTMAX: (
        BitField(
            "source", 20, "word 0 of the scores area, as AttendPart.SCORES leaves it; replaced"
        ),
        BitField("source_stride", 12, "words from row to row"),
        BitField("rows", 20, "rows, which are tokens of one sequence"),
        BitField("keys", 20, "keys that row 0 sees"),
        BitField("causal", 1, "1: row r sees keys + r keys, 0: `keys`"),
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

The rows of an ATTEND sequence run in token groups of T div heads tokens from its first one on:
token i, head h in lane (i mod (T div heads)) * heads + h of group i div (T div heads). A group sees
a key block if its last token sees a key of it; blocks that no token of a group sees are not
computed.

SOFTMAX turns row r of INT16 scores into unsigned probabilities in 16-bit elements at the same
places (numerics. softmax_row over the keys the row sees, 0 for the others of every block that its
group of T rows sees) and writes the
word 0 of the row: {u32 total, zeros}.

A word of the activation memory has an exponent, 0 to LARGEST_EXPONENT, beside its W bytes. NORM,
the outputs of MATMUL that say so, and ATTEND where a head fills whole words (segment_beats = W/16,
not with SCORES) write words with exponents of their own (numerics.word_exponent): of the attention
output sat16(rq(acc, m, s)). Every other write of a whole word sets its exponent to 0. A write of a
part of a word leaves it as it is: that of ATTEND with narrower heads, whose output is
sat8(rq(acc, m, s)). MATMUL adds the products of a word of x shifted left by its exponent; exponents
of all else that is read (Q, probabilities, INT16) do not matter.

FENCE executes when the units of its `wait` are idle and every write response has arrived. END ends
the program once all units are idle and every write response has arrived. NORM with row_set FIXED or
CHUNK maps row r to row r.
"""


def command_fields(opcode: Opcode) -> tuple[BitField, ...]:
    """All fields of a command of this opcode, the common ones first."""
    return COMMON_FIELDS + FIELDS[opcode]


for _opcode in Opcode:
    if sum(_field.bits for _field in command_fields(_opcode)) > 8 * (COMMAND_BYTES - CHECK_BYTES):
        raise AssertionError(f"{_opcode.name} does not fit {COMMAND_BYTES - CHECK_BYTES} bytes")


@dataclass(frozen=True)
class Command:
    """One command: opcode, common fields and the opcode's own fields by name (missing ones are
    0).
    """

    opcode: Opcode
    values: Mapping[str, int] = field(default_factory=dict)
    wait: Unit = Unit.ALL
    condition: Outputs = Outputs(0)
    flags: Flag = Flag(0)

    def encode(self) -> bytes:
        """The command's 64 little-endian bytes with their CRC-32; ValueError names a field that
        does not fit.
        """
        values = dict(self.values)
        values.update(
            opcode=int(self.opcode),
            wait=int(self.wait),
            condition=int(self.condition),
            flags=int(self.flags),
        )
        word = pack_fields(command_fields(self.opcode), values, self.opcode.name)
        body = word.to_bytes(COMMAND_BYTES - CHECK_BYTES, "little")
        return body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")

    @classmethod
    def decode(cls, data: bytes) -> Command:
        """Inverse of `encode`; ValueError for a wrong length, a wrong CRC-32 or an unknown
        opcode.
        """
        if len(data) != COMMAND_BYTES:
            raise ValueError(f"a command has {COMMAND_BYTES} bytes, not {len(data)}")
        body, check = data[:-CHECK_BYTES], int.from_bytes(data[-CHECK_BYTES:], "little")
        if zlib.crc32(body) != check:
            raise ValueError(
                f"a command has CRC-32 {zlib.crc32(body):#010x}, but says {check:#010x}"
            )
        word = int.from_bytes(body, "little")
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
