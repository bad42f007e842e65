# SPDX-License-Identifier: Apache-2.0
"""Activation memory: on-chip words of W bytes, one read and one write per cycle, shared by fixed
priority.
"""

from __future__ import annotations

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import Unit
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.delay import delayed
from rtl_gen.interfaces.command import INDEX_BITS
from rtl_gen.interfaces.memory import (
    ADDRESS_BITS,
    READ_CLIENTS,
    memory_read_layout,
    memory_write_layout,
)

__all__ = ["BANK_MODULE", "WRITE_CLIENTS", "ActivationMemory", "bank_verilog"]

BANK_MODULE = "meadow_activation_bank"
"""Verilog module of 16 bytes of every word, the black box of ActivationMemory."""
WRITE_CLIENTS = ("writer", "vector", "loader")
"""Write clients in order of priority."""
_UNIT_OF = {
    "operand": Unit.ARRAY,
    "writer": Unit.ARRAY,
    "vector": Unit.VECTOR,
    "loader": Unit.LOADER,
    "storer": Unit.STORER,
}


_ARRAY_ACCESSES = ("i_writer_write", "i_writer", "i_operand")
"""Of the array, those of its earlier commands first."""


def bank_verilog(config: AcceleratorConfig) -> str:
    """Verilog of one bank, module BANK_MODULE: a simple dual-port block RAM that reads old data on
    a collision.
    """
    high = (config.activation_words - 1).bit_length() - 1
    return f"""module {BANK_MODULE}(
  input clk,
  input read_enable,
  input [{high}:0] read_address,
  output reg [127:0] read_data,
  input write_enable,
  input [{high}:0] write_address,
  input [127:0] write_data
);
  (* ram_style = "block" *)
  reg [127:0] memory [0:{config.activation_words - 1}];
  always @(posedge clk) begin
    if (read_enable) read_data <= memory[read_address];
    if (write_enable) memory[write_address] <= write_data;
  end
endmodule
"""


class ActivationMemory(wiring.Component):
    """activation_words words of W bytes; simple dual port.

    Parameters
    ----------
    config : activation_words, width W.
    black_box : banks are instances of the Verilog module BANK_MODULE (`bank_verilog`); without it
        they are Amaranth memories, whose Verilog would list every initial zero of the megabytes.

    Members
    -------
    i_{client} : In(stream, 20-bit word address) for each of READ_CLIENTS, highest priority first;
        ready = granted.
    o_{client} : Out({valid, data}); the words of the granted reads, in order, LATENCY cycles after
        the transfer.
    i_{client}_write : In(stream, memory_write_layout) for each of WRITE_CLIENTS, highest priority
        first.
    i_operand_command, i_writer_command, i_writer_write_command : In(INDEX_BITS), command of the
        array's accesses offered, of which there may be several under way.
    o_outside : Out(Unit bits), pulse ERROR_LATENCY cycles after a unit's transfer to a word that
        there is not. Nothing is written then; what is read is any word. o_outside_command :
        Out(INDEX_BITS), the array's command then; of several the one that has come furthest.
    o_active : Out(1), a transfer in the cycle before.

    Wiring: connect a client's `o_read` to `i_{client}`, its `i_read` to `o_{client}`, its `o_write`
    to `i_{client}_write`. `ready` depends on `valid` of the clients of higher priority.

    Latency: LATENCY cycles from a read's transfer to its data: address register, memory, memory
    output register, fabric register. A read transferred after a write's transfer sees it, one
    transferred in the same cycle does not.
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
        for _ in range(0 if black_box else config.word_beats):
            bank = Memory(shape=8 * BEAT_BYTES, depth=config.activation_words, init=[])
            self.banks.append(bank)
        super().__init__(
            {
                **{f"i_{name}": In(stream.Signature(ADDRESS_BITS)) for name in READ_CLIENTS},
                **{f"o_{name}": Out(memory_read_layout(config)) for name in READ_CLIENTS},
                **{
                    f"i_{name}_write": In(stream.Signature(memory_write_layout(config)))
                    for name in WRITE_CLIENTS
                },
                **{f"{name}_command": In(INDEX_BITS) for name in _ARRAY_ACCESSES},
                "o_outside": Out(4),
                "o_outside_command": Out(INDEX_BITS),
                "o_active": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address_bits = (self._config.activation_words - 1).bit_length()

        reads = [getattr(self, f"i_{name}") for name in READ_CLIENTS]
        read_valid = Signal(len(reads))
        read_address = Signal(address_bits, reset_less=True)
        chosen = _grant(m, reads)
        m.d.sync += [read_valid.eq(chosen), read_address.eq(_select(reads)[:address_bits])]
        beyond = [client.payload[address_bits:].any() for client in reads]
        answered = delayed(m, read_valid, self.LATENCY - 1, "answered", reset_less=False)

        writes = [getattr(self, f"i_{name}_write") for name in WRITE_CLIENTS]
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

        parts = []
        for index in range(self._config.word_beats):
            read_data = Signal(8 * BEAT_BYTES, name=f"read_data{index}")
            ports = {
                "i_read_enable": read_valid.any(),
                "i_read_address": read_address,
                "o_read_data": read_data,
                "i_write_enable": write_valid & write.mask[index],
                "i_write_address": write.address[:address_bits],
                "i_write_data": write.data.word_select(index, 8 * BEAT_BYTES),
            }
            if self._black_box:
                clock = ClockSignal("sync")
                m.submodules[f"bank{index}"] = Instance(BANK_MODULE, i_clk=clock, **ports)
            else:
                bank = m.submodules[f"bank{index}"] = self.banks[index]
                read_port = bank.read_port()
                write_port = bank.write_port()
                m.d.comb += [
                    read_port.en.eq(ports["i_read_enable"]),
                    read_port.addr.eq(ports["i_read_address"]),
                    read_data.eq(read_port.data),
                    write_port.en.eq(ports["i_write_enable"]),
                    write_port.addr.eq(ports["i_write_address"]),
                    write_port.data.eq(ports["i_write_data"]),
                ]
            parts.append(delayed(m, read_data, self.LATENCY - 2, f"read{index}"))
        for index, name in enumerate(READ_CLIENTS):
            output = getattr(self, f"o_{name}")
            m.d.comb += [output.valid.eq(answered[index]), output.data.eq(Cat(*parts))]
        return m

    def _report(self, m: Module, reads: Value, writes: Value) -> None:
        """o_outside and its command, from one bit per client that is granted a word beyond the
        end.
        """
        read_outside = Signal(len(READ_CLIENTS))
        write_outside = Signal(len(WRITE_CLIENTS))
        m.d.sync += [read_outside.eq(reads), write_outside.eq(writes)]
        outside = {f"i_{name}": read_outside[i] for i, name in enumerate(READ_CLIENTS)} | {
            f"i_{name}_write": write_outside[i] for i, name in enumerate(WRITE_CLIENTS)
        }
        units: dict[Unit, list[Value]] = {}
        for access, bit in outside.items():
            client = access.removeprefix("i_").removesuffix("_write")
            units.setdefault(_UNIT_OF[client], []).append(bit)
        for unit, bits in units.items():
            m.d.sync += self.o_outside[unit.bit_length() - 1].eq(Cat(*bits).any())
        command: Value = Const(0, INDEX_BITS)
        for access in reversed(_ARRAY_ACCESSES):
            offered = Signal(INDEX_BITS, name=f"{access}_offered", reset_less=True)
            m.d.sync += offered.eq(getattr(self, f"{access}_command"))
            command = Mux(outside[access], offered, command)
        m.d.sync += self.o_outside_command.eq(command)


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
