# SPDX-License-Identifier: Apache-2.0
"""The preamble of a weight stream and what may be wrong with it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.streams import (
    LITERAL,
    MAX_QUOTIENT_BITS,
    MAX_WIDTH,
    MODE_BITS,
    PREAMBLE_FIELDS,
    Codec,
)
from rtl_gen.blocks.payload import payload_register

__all__ = ["PREAMBLE", "PreambleCheck"]

PREAMBLE = data.StructLayout({field.name: field.bits for field in PREAMBLE_FIELDS})

_BYTE_ENTRIES = 256
_BYTE_INDEX = 8


class PreambleCheck(wiring.Component):
    """Says whether the decoder can read a stream with this preamble.

    Members
    -------
    preamble: In PREAMBLE.
    wrong: Out, `latency` cycles later: a codec that the configuration does not have, reserved bits;
        dictionary: chunk other than 1 or 2, no entries or more than the table or the chunk has, a
        width above 12, or above 8 with chunk 1; rice: `fixed`, or a width that is neither 0..6 nor
        8. `weights` and the checksum are not looked at here.
    """

    latency = 2

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__({"preamble": In(PREAMBLE), "wrong": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        preamble = self.preamble
        widths = [preamble[f"width{mode}"] for mode in range(1 << MODE_BITS)]
        bytewise = preamble.chunk == 1
        most = Mux(bytewise, _BYTE_ENTRIES, self.config.dictionary_entries)
        dictionary = Signal(3, reset_less=True)
        rice = Signal(2, reset_less=True)
        other = Signal(2, reset_less=True)
        codec = Signal.like(preamble.codec, reset_less=True)
        present = [each.value for each in Codec if self.config.has_codec(each)]
        absent = ~Cat(preamble.codec == value for value in present).any()
        m.d.sync += [
            codec.eq(preamble.codec),
            other.eq(Cat(preamble.reserved != 0, absent)),
            dictionary[0].eq((preamble.chunk == 0) | (preamble.chunk > 2)),
            dictionary[1].eq((preamble.entries == 0) | (preamble.entries > most)),
            dictionary[2].eq(
                Cat(width > Mux(bytewise, _BYTE_INDEX, MAX_WIDTH) for width in widths).any()
            ),
            rice[0].eq(preamble.fixed),
            rice[1].eq(
                Cat((width > MAX_QUOTIENT_BITS) & (width != LITERAL) for width in widths).any()
            ),
        ]
        broken = {
            Codec.DICTIONARY: dictionary,
            Codec.RICE: rice,
        }
        wrong = other.any()
        for each, rules in broken.items():
            if self.config.has_codec(each):
                wrong = wrong | ((codec == each.value) & rules.any())
        m.d.sync += payload_register(m, self.wrong, "wrong_register").eq(wrong)
        return m
