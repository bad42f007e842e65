# SPDX-License-Identifier: Apache-2.0
"""Activation memory: on-chip words of W bytes, one read and one write per cycle, shared by fixed
priority.
"""

from __future__ import annotations

from typing import ClassVar

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Unit
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.delay import delayed
from rtl_gen.blocks.payload import payload_register
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.dma import BEAT_BITS
from rtl_gen.interfaces.members import members
from rtl_gen.interfaces.memory import (
    READ_CLIENTS,
    WRITE_CLIENTS,
    MemoryReadSignature,
    MemoryWriteSignature,
    memory_write_layout,
)
from rtl_gen.memory.activation_bank import (
    BANK_LATENCY,
    BANK_MODULE,
    ULTRA_BITS,
    ULTRA_EXPONENT,
)
from rtl_gen.memory.belt import Belt

__all__ = ["ActivationMemory"]

_UNIT_OF = {
    "operand": Unit.ARRAY,
    "writer": Unit.ARRAY,
    "vector": Unit.VECTOR,
    "loader": Unit.LOADER,
    "storer": Unit.STORER,
}
"""The unit that a client belongs to."""


class ActivationMemory(wiring.Component):
    """activation_words words of W bytes and an exponent; simple dual port.

    The exponents have a memory of their own beside those of the bytes, or write enables of their
    own beside the first 16 bytes in UltraRAM. They are written with whole words only: a write of a
    part of a word leaves the exponent as it is.

    Parameters
    ----------
    config: activation_words, activation_ram, width W.
    black_box: banks are instances of the Verilog module BANK_MODULE (`bank_verilog`); without it
        they are Amaranth memories, whose Verilog would list every initial zero of the megabytes,
        and the exponents have their own whatever the RAM.

    Members
    -------
    i_read: In, a MemoryReadSignature for each of READ_CLIENTS, by name, highest priority first. A
        word comes READ_LATENCY[name] cycles after the transfer of its address.
    i_write: In, a MemoryWriteSignature for each of WRITE_CLIENTS, by name, highest priority first.
    o_outside: Out(Unit bits), pulse ERROR_LATENCY cycles after the transfer of an access beyond
        the end of the memory. Nothing is written then; what is read is any word.
    o_outside_command: Out(INDEX_BITS), the array's command then; of several the one that has come
        furthest.
    o_active: Out(1), a transfer in the cycle before.

    `ready` of a client is a register: a Belt passes the clients, so one of lower priority meets
    what those of higher priority have put on it in earlier cycles.

    Latency: READ_LATENCY[client] cycles from a read's transfer to its data and exponent: the belt,
    a register for the way to the banks, address registers of each bank, and BANK_LATENCY.
    Order: a read transferred after a write's transfer sees it. It may also see a write that is
    transferred up to OVERTAKES cycles after it, since the belts are not of one length: who
    needs the old word must have it before he replaces it. Two writes to one word take effect in
    the order of their transfers if these are len(WRITE_CLIENTS) cycles apart or of one client.
    Throughput: one read and one write per cycle in total. Back-pressure: only by clients of higher
    priority, never for the first; read data cannot be refused.
    """

    READ_LATENCY: ClassVar[dict[str, int]] = {
        name: len(READ_CLIENTS) - number + 1 + BANK_LATENCY
        for number, name in enumerate(READ_CLIENTS)
    }
    OVERTAKES = len(READ_CLIENTS)
    ERROR_LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        # One memory per 16 bytes instead of one with byte enables: each has a single write enable.
        self.banks: list[Memory] = []
        if not black_box:
            depth, style = config.activation_words, {"ram_style": config.activation_ram}
            for _ in range(config.word_beats):
                bank = Memory(shape=BEAT_BITS, depth=depth, init=[], attrs=style)
                self.banks.append(bank)
            self.exponents = Memory(shape=EXPONENT_BITS, depth=depth, init=[], attrs=style)
        super().__init__(
            {
                "i_read": In(_clients(READ_CLIENTS, MemoryReadSignature(config))),
                "i_write": In(_clients(WRITE_CLIENTS, MemoryWriteSignature(config))),
                "o_outside": Out(4),
                "o_outside_command": Out(INDEX_BITS),
                "o_active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        readers = list(members(self.i_read).values())
        reads = [client.address for client in readers]
        writes = [client.word for client in members(self.i_write).values()]
        read_belt = Belt.passing(m, reads, "read")
        write_belt = Belt.passing(m, writes, "write")
        m.d.sync += self.o_active.eq(Cat(read_belt.transfers, write_belt.transfers).any())
        self._report(
            m,
            read_belt.transfers & Cat(self._beyond(client.payload) for client in reads),
            write_belt.transfers & Cat(self._beyond(client.payload.address) for client in writes),
        )

        reader = delayed(m, read_belt.owner, 2, "reader", reset_less=False)
        address = delayed(m, read_belt.payload, 2, "way")
        answered = delayed(m, reader, BANK_LATENCY, "answered", reset_less=False)
        write = Signal(memory_write_layout(config))
        m.d.comb += write.as_value().eq(write_belt.payload)
        stores = write_belt.owner.any() & ~self._beyond(write.address)
        marks = stores & write.mask.all()
        ultra = self._black_box and config.activation_ram == "ultra"
        banks: list[Value] = []
        for index in range(config.word_beats):
            stored, written = stores & write.mask[index], write.data.word_select(index, BEAT_BITS)
            if ultra:
                # The exponent beside the first bytes; what nobody reads of the other banks goes.
                wide = Signal(ULTRA_BITS, name=f"bank{index}_written")
                m.d.comb += wide[:BEAT_BITS].eq(written)
                if index == 0:
                    m.d.comb += wide[ULTRA_EXPONENT:].eq(write.exponent)
                stored, written = Cat(stored, marks), wide
            banks.append(
                self._bank(
                    m,
                    f"bank{index}",
                    None if self._black_box else self.banks[index],
                    address,
                    reader.any(),
                    write.address,
                    stored,
                    written,
                )
            )
        if ultra:
            exponent = banks[0][ULTRA_EXPONENT:][:EXPONENT_BITS]
        else:
            exponent = self._bank(
                m,
                "exponents",
                None if self._black_box else self.exponents,
                address,
                reader.any(),
                write.address,
                marks,
                write.exponent,
            )
        for index, client in enumerate(readers):
            m.d.comb += [
                client.data.valid.eq(answered[index]),
                client.data.payload.eq(Cat(bank[:BEAT_BITS] for bank in banks)),
                client.exponent.eq(exponent),
            ]
        return m

    def _beyond(self, address: Value) -> Value:
        """Whether the memory has no such word."""
        words = self._config.activation_words
        zeros = (words & -words).bit_length() - 1
        return address[zeros:] >= words >> zeros

    def _bank(
        self,
        m: Module,
        name: str,
        memory: Memory | None,
        read_address: Value,
        reads: Value,
        write_address: Value,
        writes: Value,
        written: Value,
    ) -> Value:
        """One bank: what it read BANK_LATENCY cycles ago."""
        read_data = Signal(len(written), name=f"{name}_data")
        bits = (self._config.activation_words - 1).bit_length()
        ports = {
            "i_read_enable": reads,
            "i_read_address": read_address[:bits],
            "i_write_enable": writes,
            "i_write_address": write_address[:bits],
            "i_write_data": written,
        }
        if memory is None:
            clock = ClockSignal("sync")
            m.submodules[name] = Instance(
                BANK_MODULE, p_BITS=len(written), i_clk=clock, o_read_data=read_data, **ports
            )
            return read_data
        m.submodules[name] = memory
        read_port = memory.read_port()
        write_port = memory.write_port()
        m.d.comb += read_data.eq(read_port.data)
        m.d.sync += [
            read_port.en.eq(reads),
            read_port.addr.eq(read_address[:bits]),
            write_port.en.eq(writes),
            write_port.addr.eq(write_address[:bits]),
            write_port.data.eq(written),
        ]
        return delayed(m, read_data, BANK_LATENCY - 2, f"{name}_read")

    def _report(self, m: Module, reads: Value, writes: Value) -> None:
        """o_outside and its command, from one bit per client that is granted a word beyond the
        end.
        """
        read_outside = Signal(len(READ_CLIENTS))
        write_outside = Signal(len(WRITE_CLIENTS))
        m.d.sync += [read_outside.eq(reads), write_outside.eq(writes)]
        units: dict[Unit, list[Value]] = {}
        for names, outside in ((READ_CLIENTS, read_outside), (WRITE_CLIENTS, write_outside)):
            for name, bit in zip(names, outside, strict=True):
                units.setdefault(_UNIT_OF[name], []).append(bit)
        for unit, bits in units.items():
            m.d.sync += self.o_outside[unit.bit_length() - 1].eq(Cat(*bits).any())
        # Of the array's accesses outside the last one here counts: it has come furthest, so its
        # command is the earliest.
        command: Value = Const(0, INDEX_BITS)
        for name, client, bit in (
            ("operand_read", self.i_read.operand, read_outside[READ_CLIENTS.index("operand")]),
            ("writer_read", self.i_read.writer, read_outside[READ_CLIENTS.index("writer")]),
            ("writer_write", self.i_write.writer, write_outside[WRITE_CLIENTS.index("writer")]),
        ):
            offered = Signal(INDEX_BITS, name=f"{name}_command", reset_less=True)
            m.d.sync += offered.eq(client.command)
            command = Mux(bit, offered, command)
        m.d.sync += payload_register(m, self.o_outside_command, "outside_command").eq(command)


def _clients(names: tuple[str, ...], client: wiring.Signature) -> wiring.Signature:
    """One `client` for each name."""
    return wiring.Signature({name: Out(client) for name in names})
