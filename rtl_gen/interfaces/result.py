# SPDX-License-Identifier: Apache-2.0
"""Result words on their way to the activation memory, and candidates of the arg-max."""

from __future__ import annotations

from types import new_class
from typing import Any

from amaranth.hdl import signed
from amaranth.lib import data, enum
from amaranth.utils import bits_for

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import ResultMode
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.memory import ADDRESS_BITS

__all__ = ["CANDIDATE", "RESULT_MODE", "result_word_layout", "row_range", "writer_depth"]

RESULT_MODE: Any = new_class(
    "ResultMode",
    (enum.IntEnum,),
    {"shape": bits_for(max(ResultMode))},
    lambda members: members.update({mode.name: mode.value for mode in ResultMode}),
)
"""ResultMode as a shape, so that waveforms and Verilog have the names of its values."""


def writer_depth(config: AcceleratorConfig) -> int:
    """Result words the writer can hold: the array control spends one credit per word, the writer
    returns it.

    A credit is out for about 45 + T cycles from the start of its pass through lane, corner and
    writer, and a pass takes up to 2*T at once: this many keep one word per cycle going.
    """
    return 1 << (45 + 4 * config.lanes).bit_length()


def result_word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """One result word on its way to the activation memory.

    Fields
    ------
    address: word address.
    operand: address of the operand word: ROTATE8, W/4 pairs {int16 cosine, int16 sine}; GATE, W/2
        signed 16-bit elements.
    half: TABLE, ROTATE8, GATE, WORD: the W/2 results are elements half*W/2 .. of the word.
    shift: ROTATE8, GATE, the rounding shift.
    mask: bit j enables bytes 16*j .. 16*j+15; all ones if the result is a half of a word.
    mode: what the writer does with `data`.
    row: arg-max, row of the chunk or of the head.
    channel: arg-max, index of the first element.
    elements: arg-max, elements that count.
    restart: arg-max, the row starts again.
    command: index of the command whose result it is.
    data: W bytes; W/2 signed 16-bit elements unless `mode` is WRITE of an INT8 result.
    """
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "operand": ADDRESS_BITS,
            "half": 1,
            "shift": 6,
            "mask": config.width // BEAT_BYTES,
            "mode": RESULT_MODE,
            "row": 16,
            "channel": 20,
            "elements": range(config.width // 2 + 1),
            "restart": 1,
            "command": INDEX_BITS,
            "data": 8 * config.width,
        }
    )


CANDIDATE = data.StructLayout({"value": signed(16), "index": 20})
"""Best value of a row so far and its index; -32768 and 0 if there is none."""


def row_range(config: AcceleratorConfig) -> range:
    """Rows that have a candidate."""
    return range(max(2, config.chunk_tokens))
