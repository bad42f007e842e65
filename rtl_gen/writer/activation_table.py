# SPDX-License-Identifier: Apache-2.0
"""Activation table: W/2 look-ups per cycle in a table that a program loads."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import TABLE_ENTRIES, TABLE_SHIFT
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.memory import ADDRESS_BITS

__all__ = ["ActivationTable", "table_write_layout"]


def table_write_layout(config: AcceleratorConfig) -> data.StructLayout:
    """Word `address`: signed 16-bit entries address*W/2 .. address*W/2 + W/2 - 1 of the table, the
    first in the low bits.
    """
    return data.StructLayout({"address": ADDRESS_BITS, "data": 8 * config.width})


class ActivationTable(wiring.Component):
    """o[i] = table[numerics.table_index(i_data[i])], i < W/2.

    Parameters
    ----------
    config: width W. W/4 copies of the table, each a true dual-port block RAM of 2048 x 16 bits:
        two look-ups per cycle.

    Members
    -------
    i_write: In stream of table_write_layout, a word in W/2 cycles, one entry in each; ready when
        none is under way. Addresses are taken modulo 2*TABLE_ENTRIES / W.
    i_data: In(8*W), W/2 signed 16-bit elements.
    o: Out(8*W), W/2 signed 16-bit entries.
    busy: Out(1), 1 from the cycle a word is offered until look-ups see all of it. A look-up that
        comes meanwhile has an undefined result.

    Latency: LATENCY cycles from i_data to o: address register, memory, memory output register.
    Throughput: W/2 look-ups per cycle. No back-pressure on look-ups.
    """

    LATENCY = 3

    def __init__(self, *, config: AcceleratorConfig) -> None:
        self._config = config
        self.copies: list[Memory] = []
        for _ in range(config.width // 4):
            copy = Memory(shape=16, depth=TABLE_ENTRIES, init=[], attrs={"ram_style": "block"})
            self.copies.append(copy)
        super().__init__(
            {
                "i_write": In(stream.Signature(table_write_layout(config))),
                "i_data": In(8 * config.width),
                "o": Out(8 * config.width),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycles = self._config.width // 2
        address_bits = (TABLE_ENTRIES - 1).bit_length()
        part_bits = (cycles - 1).bit_length()

        active = Signal()
        part = Signal(range(cycles), reset_less=True)
        word = Signal(address_bits - part_bits, reset_less=True)
        held = Signal(8 * self._config.width, reset_less=True)
        take = Signal()
        wait = Signal()  # a register, because `ready` goes back through the loader to a port
        m.d.comb += [
            self.i_write.ready.eq(~wait),
            take.eq(self.i_write.valid & self.i_write.ready),
        ]
        m.d.sync += part.eq(part + 1)
        with m.If(take):
            m.d.sync += [
                active.eq(1),
                wait.eq(1),
                part.eq(0),
                word.eq(self.i_write.payload.address),
                held.eq(self.i_write.payload.data),
            ]
        with m.Elif(part == cycles - 1):
            m.d.sync += active.eq(0)
        with m.Elif(part == cycles - 2):
            m.d.sync += wait.eq(0)
        write_address = Cat(part, word)
        writes = delayed(m, active, 1, "writes", reset_less=False)
        write_data = delayed(m, held.word_select(part, 16), 1, "write_data")
        m.d.comb += self.busy.eq(self.i_write.valid | active)

        results: list[Value] = []
        for number, copy in enumerate(self.copies):
            m.submodules[f"copy{number}"] = copy
            write_port = copy.write_port()
            m.d.comb += [write_port.en.eq(writes), write_port.data.eq(write_data)]
            for side in range(2):
                read_port = copy.read_port()
                element = self.i_data.word_select(2 * number + side, 16)
                # table_index: the offset of 2^15 only turns the sign bit over.
                index = Cat(element[TABLE_SHIFT:15], ~element[15])
                address = Signal(address_bits, name=f"address{number}_{side}", reset_less=True)
                result = Signal(16, name=f"result{number}_{side}", reset_less=True)
                m.d.comb += read_port.addr.eq(address)
                m.d.sync += result.eq(read_port.data)
                if side == 0:
                    # Words are written through the same port, so that the copy needs no third one.
                    m.d.sync += address.eq(Mux(active, write_address, index))
                    m.d.comb += [write_port.addr.eq(address), read_port.en.eq(1)]
                else:
                    m.d.sync += address.eq(index)
                    m.d.comb += read_port.en.eq(~writes)
                results.append(result)
        m.d.comb += self.o.eq(Cat(*results))
        return m
