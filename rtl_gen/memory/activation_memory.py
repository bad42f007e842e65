# SPDX-License-Identifier: Apache-2.0
"""Activation memory: on-chip words of W bytes, one read and one write per cycle, shared by fixed
priority.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Unit
from meadow.spec.config import AcceleratorConfig
from meadow.spec.numerics import EXPONENT_BITS
from rtl_gen.blocks.delay import delayed
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

__all__ = ["BANK_MODULE", "ActivationMemory", "bank_verilog"]

BANK_MODULE = "meadow_activation_bank"
"""Verilog module of BITS bits of every word, 16 bytes or the exponent: the black box of
ActivationMemory.
"""
_UNIT_OF = {
    "operand": Unit.ARRAY,
    "writer": Unit.ARRAY,
    "vector": Unit.VECTOR,
    "loader": Unit.LOADER,
    "storer": Unit.STORER,
}
"""The unit that a client belongs to."""


def bank_verilog(config: AcceleratorConfig) -> str:
    """Verilog of one bank, module BANK_MODULE: a simple dual-port block RAM that reads old data on
    a collision. Its parameter BITS is 16 bytes unless an instance says otherwise.
    """
    high = (config.activation_words - 1).bit_length() - 1
    return f"""module {BANK_MODULE}(
  clk, read_enable, read_address, read_data, write_enable, write_address, write_data
);
  parameter BITS = {BEAT_BITS};
  input clk;
  input read_enable;
  input [{high}:0] read_address;
  output reg [BITS-1:0] read_data;
  input write_enable;
  input [{high}:0] write_address;
  input [BITS-1:0] write_data;
  (* ram_style = "block" *)
  reg [BITS-1:0] memory [0:{config.activation_words - 1}];
  always @(posedge clk) begin
    if (read_enable) read_data <= memory[read_address];
    if (write_enable) memory[write_address] <= write_data;
  end
endmodule
"""


class ActivationMemory(wiring.Component):
    """activation_words words of W bytes and an exponent; simple dual port.

    The exponents have a memory of their own beside those of the bytes, written with whole words
    only: a write of a part of a word leaves the exponent as it is.

    Parameters
    ----------
    config: activation_words, width W.
    black_box: banks are instances of the Verilog module BANK_MODULE (`bank_verilog`); without it
        they are Amaranth memories, whose Verilog would list every initial zero of the megabytes.

    Members
    -------
    i_read: In, a MemoryReadSignature for each of READ_CLIENTS, by name, highest priority first. A
        word comes LATENCY cycles after the transfer of its address.
    i_write: In, a MemoryWriteSignature for each of WRITE_CLIENTS, by name, highest priority first.
    o_outside: Out(Unit bits), pulse ERROR_LATENCY cycles after the transfer of an access beyond
        the end of the memory. Nothing is written then; what is read is any word.
    o_outside_command: Out(INDEX_BITS), the array's command then; of several the one that has come
        furthest.
    o_active: Out(1), a transfer in the cycle before.

    `ready` of a client depends on `valid` of those of higher priority.

    Latency: LATENCY cycles from a read's transfer to its data and exponent: address register,
    memory, memory output register, fabric register. A read transferred after a write's transfer
    sees it, one transferred in the same cycle does not.
    Throughput: one read and one write per cycle in total. Back-pressure: only by clients of higher
    priority; read data cannot be refused.
    """

    LATENCY = 4
    ERROR_LATENCY = 2

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        # One memory per 16 bytes instead of one with byte enables: each has a single write enable.
        self.banks: list[Memory] = []
        if not black_box:
            depth = config.activation_words
            for _ in range(config.word_beats):
                self.banks.append(Memory(shape=BEAT_BITS, depth=depth, init=[]))
            self.exponents = Memory(shape=EXPONENT_BITS, depth=depth, init=[])
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
        address_bits = (self._config.activation_words - 1).bit_length()

        reads = [client.address for client in members(self.i_read).values()]
        read_valid = Signal(len(reads))
        read_address = Signal(address_bits, reset_less=True)
        chosen = _grant(m, reads)
        m.d.sync += [read_valid.eq(chosen), read_address.eq(_select(reads)[:address_bits])]
        beyond = [client.payload[address_bits:].any() for client in reads]
        answered = delayed(m, read_valid, self.LATENCY - 1, "answered", reset_less=False)

        writes = [client.word for client in members(self.i_write).values()]
        write_valid = Signal()
        write = Signal(memory_write_layout(self._config), reset_less=True)
        taken = _grant(m, writes)
        strays = [client.payload.address[address_bits:].any() for client in writes]
        m.d.sync += [
            write_valid.eq((taken & ~Cat(*strays)).any()),
            write.as_value().eq(_select(writes)),
            self.o_active.eq(Cat(chosen, taken).any()),
        ]
        self._report(m, chosen & Cat(*beyond), taken & Cat(*strays))

        def bank(name: str, memory: Memory | None, enable: Value, written: Value) -> Value:
            """One memory, what `enable` writes to it and what is read, in step with `answered`."""
            read_data = Signal(len(written), name=f"{name}_data")
            ports = {
                "i_read_enable": read_valid.any(),
                "i_read_address": read_address,
                "o_read_data": read_data,
                "i_write_enable": write_valid & enable,
                "i_write_address": write.address[:address_bits],
                "i_write_data": written,
            }
            if memory is None:
                clock, bits = ClockSignal("sync"), len(written)
                m.submodules[name] = Instance(BANK_MODULE, p_BITS=bits, i_clk=clock, **ports)
            else:
                m.submodules[name] = memory
                read_port = memory.read_port()
                write_port = memory.write_port()
                m.d.comb += [
                    read_port.en.eq(ports["i_read_enable"]),
                    read_port.addr.eq(ports["i_read_address"]),
                    read_data.eq(read_port.data),
                    write_port.en.eq(ports["i_write_enable"]),
                    write_port.addr.eq(ports["i_write_address"]),
                    write_port.data.eq(ports["i_write_data"]),
                ]
            return delayed(m, read_data, self.LATENCY - 2, f"{name}_read")

        boxed = self._black_box
        parts = [
            bank(
                f"bank{index}",
                None if boxed else self.banks[index],
                write.mask[index],
                write.data.word_select(index, BEAT_BITS),
            )
            for index in range(self._config.word_beats)
        ]
        exponent = bank(
            "exponents", None if boxed else self.exponents, write.mask.all(), write.exponent
        )
        for index, client in enumerate(members(self.i_read).values()):
            m.d.comb += [
                client.data.valid.eq(answered[index]),
                client.data.payload.eq(Cat(*parts)),
                client.exponent.eq(exponent),
            ]
        return m

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
        m.d.sync += self.o_outside_command.eq(command)


def _clients(names: tuple[str, ...], client: wiring.Signature) -> wiring.Signature:
    """One `client` for each name."""
    return wiring.Signature({name: Out(client) for name in names})


def _grant(m: Module, clients: list) -> Value:
    """Drive every client's ready by fixed priority; one bit per client that transfers."""
    higher: Value = Const(0, 1)
    grants = []
    for client in clients:
        m.d.comb += client.ready.eq(~higher)
        grants.append(client.valid & ~higher)
        higher = higher | client.valid
    return Cat(*grants)


def _select(clients: list) -> Value:
    """Payload of the first valid client."""
    chosen: Value = Value.cast(clients[-1].payload)
    for client in reversed(clients[:-1]):
        chosen = Mux(client.valid, Value.cast(client.payload), chosen)
    return chosen
