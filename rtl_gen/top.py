# SPDX-License-Identifier: Apache-2.0
"""The accelerator: one AXI4-Lite slave, P AXI4 masters, and the units between them.

Each function below wires one part of the block diagram of docs/architecture.md, in the order in
which commands and data pass the units.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from meadow.spec.commands import TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.blocks.payload import payload_register
from rtl_gen.dma.controller import connect_reads, connect_writes, set_window
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.axi import Axi4Signature, LiteSignature
from rtl_gen.interfaces.command import INDEX_BITS, NO_COMMAND
from rtl_gen.interfaces.counters import INCREMENT_BITS
from rtl_gen.interfaces.members import members
from rtl_gen.units import Units

__all__ = ["Accelerator"]

_COUNTED = {
    "bytes_weights": TrafficClass.WEIGHTS,
    "bytes_kv_read": TrafficClass.KV_READ,
    "bytes_kv_write": TrafficClass.KV_WRITE,
    "bytes_activations": TrafficClass.ACTIVATIONS,
    "bytes_commands": TrafficClass.COMMANDS,
}
"""Counters of bytes and what they count."""


class Accelerator(wiring.Component):
    """Everything of one configuration.

    Parameters
    ----------
    config: the configuration.
    black_box: lanes and memory banks are instances of the separate modules `meadow_lane` and
        `meadow_activation_bank`.

    Members
    -------
    reset: In, from a register.
    s_axi: In(LiteSignature), register map of meadow.spec.registers.
    m_axi: P Out(Axi4Signature).
    irq: Out, level.
    activity: Out, see `activity_items`.
    unit_command: Out, see `activity_units`.
    command_index: Out(32), commands handed to their units so far.

    Units are reset together while the sequencer flushes after an error or a soft reset; memories
    keep their content. Every block has a reset register of its own (`BlockResets`), so `reset` has
    to last RESET_CYCLES at least. What stands between the blocks passes on what they say, nothing
    of it for longer than a cycle, and has no reset.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        super().__init__(
            {
                "reset": In(1),
                "s_axi": In(LiteSignature()),
                "irq": Out(1),
                "activity": Out(len(activity_items(config))),
                "unit_command": Out(INDEX_BITS * len(activity_units(config))),
                "command_index": Out(32),
                "m_axi": Out(Axi4Signature(address_bits=config.address_bits)).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units = Units(m, self._config, black_box=self._black_box)
        m.d.comb += units.resets.pin.eq(self.reset)
        connect(m, flipped(self.s_axi), units.registers.bus)
        for port, bus in zip(units.ports, self.m_axi, strict=True):
            connect(m, port.axi, flipped(bus))
        _connect_program(m, units)
        _connect_commands(m, units)
        _connect_reads(m, units)
        _connect_array(m, units)
        _connect_memory(m, units)
        connect_writes(m, storer=units.storer, ports=units.ports)
        _connect_errors(m, units)
        _connect_counters(m, units)
        happens, commands = _activity(m, units)
        named = activity_units(self._config)
        activity = payload_register(m, self.activity, "late_activity")
        m.d.sync += activity.eq(Cat(happens[name] for name in activity_items(self._config)))
        m.d.comb += [
            self.unit_command.eq(Cat(commands[unit.name] for unit in named)),
            self.irq.eq(units.registers.interrupt),
            self.command_index.eq(units.sequencer.command_index),
        ]
        return m


def _connect_program(m: Module, units: Units) -> None:
    """What the host has written, to the sequencer and the units; when the program has ended."""
    registers, sequencer, ports = units.registers, units.sequencer, units.ports
    m.d.comb += [
        sequencer.start.eq(registers.start),
        sequencer.stop.eq(registers.soft_reset),
        sequencer.program.eq(registers.program),
        sequencer.program_length.eq(registers.program_length),
        sequencer.outputs.eq(registers.step.outputs),
        sequencer.watchdog.eq(registers.watchdog),
        sequencer.writes_pending.eq(Cat(port.writes_pending for port in ports).any()),
        sequencer.ports_idle.eq(Cat(port.idle for port in ports).all()),
        registers.busy.eq(sequencer.busy),
        registers.stuck.eq(sequencer.stuck),
        registers.done_set.eq(sequencer.done),
        registers.command_index.eq(sequencer.command_index),
    ]
    for unit in (units.fetch, units.array, units.vector, units.loader, units.storer):
        m.d.comb += unit.step.eq(registers.step)
    set_window(
        m,
        ports,
        base=registers.window_base,
        beats=registers.window_beats,
        flush=sequencer.flush,
    )
    # Anything that moves, whoever moves it; a register for each port, then one for all.
    moves = [units.memory.o_active, units.array.o_activity.busy_cycle]
    for index, port in enumerate(ports):
        axi = port.axi
        moved = Signal(name=f"port{index}_moves", reset_less=True)
        m.d.sync += moved.eq(
            port.o_read_beat.valid
            | port.o_write_beat.valid
            | (axi.arvalid & axi.arready)
            | (axi.awvalid & axi.awready)
            | (axi.wvalid & axi.wready)
            | (axi.bvalid & axi.bready)
        )
        moves.append(moved)
    m.d.sync += payload_register(m, sequencer.progress, "progress").eq(Cat(moves).any())


def _connect_commands(m: Module, units: Units) -> None:
    """Commands to the fetch unit and to the units that execute them, and who is busy."""
    sequencer, fetch = units.sequencer, units.fetch
    connect(m, sequencer.o_fetch, fetch.i_command)
    connect(m, sequencer.o_unit.array, units.array.i_command)
    connect(m, sequencer.o_unit.vector, units.vector.i_command)
    connect(m, sequencer.o_unit.loader, units.loader.i_command)
    connect(m, sequencer.o_unit.storer, units.storer.i_command)
    decoders_busy = Cat(decoder.busy for decoder in units.decoders).any()
    m.d.comb += [
        sequencer.fetch_busy.eq(fetch.busy | decoders_busy),
        sequencer.unit_busy.eq(
            Cat(
                units.array.busy | units.writer.busy,
                units.vector.busy,
                units.loader.busy,
                units.storer.busy,
            )
        ),
    ]


def _connect_reads(m: Module, units: Units) -> None:
    """Descriptors of sequencer (port 0, first) and fetch unit to the ports, beats to sequencer,
    loader and decoders.
    """
    merge = units.command_merge
    connect(m, units.sequencer.o_read, merge.i_first)
    connect(m, units.fetch.o_read[0], merge.i_second)
    connect(m, units.routers[0].o_command, units.sequencer.i_beat)
    connect_reads(
        m,
        descriptors=[merge.o, *units.fetch.o_read[1:]],
        ports=units.ports,
        routers=units.routers,
        fetch=units.fetch,
        loader=units.loader,
        beats=[decoder.i_beat for decoder in units.decoders],
        jobs=[decoder.i_job for decoder in units.decoders],
    )


def _connect_array(m: Module, units: Units) -> None:
    """Tiles and slice headers from the decoders, result words to the writer."""
    array, tile_wait = units.array, units.tile_wait
    for index, decoder in enumerate(units.decoders):
        connect(m, decoder.o_tile, array.i_tile[index])
        connect(m, decoder.o_parameter, array.i_parameter[index])
    connect(m, array.o_result, units.writer.i_result)
    m.d.comb += [
        array.i_result_retired.eq(units.writer.o_retired),
        tile_wait.i_stall.eq(array.o_activity.stall_tile),
        tile_wait.i_tile_free.eq(array.i_tile[0].free),
        tile_wait.i_offered.eq(Cat(decoder.i_beat.valid for decoder in units.decoders)),
        tile_wait.i_tile_done.eq(Cat(decoder.o_tile.done for decoder in units.decoders)),
    ]


def _connect_memory(m: Module, units: Units) -> None:
    """Clients of the activation memory, and the tables that the loader fills beside it."""
    reads, writes = units.memory.i_read, units.memory.i_write
    writer, vector = units.writer, units.vector
    connect(m, units.array.o_read, reads.operand)
    connect(m, writer.o_read, reads.writer)
    connect(m, vector.o_read, reads.vector)
    connect(m, units.storer.o_read, reads.storer)
    connect(m, writer.o_write, writes.writer)
    connect(m, vector.o_write, writes.vector)
    connect(m, units.loader.o_write, writes.loader)
    connect(m, units.loader.o_norm, vector.i_norm)
    connect(m, units.loader.o_table, writer.i_table)
    m.d.comb += [
        vector.i_candidate.eq(writer.o_candidate),
        writer.i_candidate_row.eq(vector.o_candidate_row),
    ]


def _connect_errors(m: Module, units: Units) -> None:
    """Faults of ports, decoders and memory to the sequencer, its error to the registers."""
    sequencer, faults = units.sequencer, units.faults
    for port, fault in zip(units.ports, faults.i_port, strict=True):
        connect(m, port.error, fault)
    for decoder, fault in zip(units.decoders, faults.i_decoder, strict=True):
        m.d.comb += [fault.valid.eq(decoder.error), fault.payload.eq(decoder.error_command)]
    connect(m, faults.o, sequencer.i_fault)
    connect(m, sequencer.o_error, units.registers.i_error)
    m.d.comb += [
        sequencer.i_outside.eq(units.memory.o_outside),
        sequencer.i_outside_command.eq(units.memory.o_outside_command),
    ]


def _connect_counters(m: Module, units: Units) -> None:
    counters, activity, vector = units.registers.i_counters, units.array.o_activity, units.vector
    m.d.comb += [
        counters.cycles.eq(units.registers.busy),
        counters.array_busy.eq(activity.busy_cycle),
        counters.stall_tile.eq(activity.stall_tile),
        counters.stall_decoder.eq(units.tile_wait.o_stall),
        counters.stall_operand.eq(activity.stall_operand),
        counters.stall_drain.eq(activity.stall_drain),
        counters.stall_softmax.eq(activity.stall_softmax),
        counters.stall_vector.eq(vector.busy_cycle & ~units.array.busy),
        counters.vector_busy.eq(vector.busy_cycle),
    ]
    moved = [beat for port in units.ports for beat in (port.o_read_beat, port.o_write_beat)]
    for name, traffic in _COUNTED.items():
        beats = sum(beat.valid & (beat.payload.traffic == traffic.value) for beat in moved)
        registered = Signal(INCREMENT_BITS, name=name, reset_less=True)
        m.d.sync += registered.eq(beats * BEAT_BYTES)
        m.d.comb += members(counters)[name].eq(registered)


def _activity(m: Module, units: Units) -> tuple[dict, dict]:
    """Items of `activity` by name, and the commands of its units, a cycle later."""
    registers, sequencer, activity = units.registers, units.sequencer, units.array.o_activity
    write = units.writer.o_write
    counters = members(registers.i_counters)
    happens = {name: increment[0] for name, increment in counters.items()} | {
        "sequencer_busy": registers.busy,
        "fetch_busy": units.fetch.busy,
        "drain_busy": activity.drain_cycle,
        "score_drain": activity.score_cycle,
        "writer_busy": write.word.valid & write.word.ready,
        "loader_busy": units.loader.busy,
        "storer_busy": units.storer.busy,
    }
    commands = {
        "sequencer": sequencer.turn_command,
        "fetch": units.fetch.busy_command,
        "array": activity.busy_command,
        "drain": activity.drain_command,
        "writer": write.command,
    }
    for index, (port, decoder) in enumerate(zip(units.ports, units.decoders, strict=True)):
        read, written = port.o_read_beat, port.o_write_beat
        happens |= {
            f"decoder{index}_tile": decoder.o_tile.write.valid,
            f"decoder{index}_parameter": decoder.o_parameter.write.valid,
            f"port{index}_read": read.valid,
            f"port{index}_write": written.valid,
        }
        of_program = read.payload.traffic == TrafficClass.COMMANDS.value
        commands |= {
            f"decoder{index}_tile": decoder.o_tile_command,
            f"decoder{index}_parameter": decoder.o_parameter_command,
            f"port{index}_read": Mux(of_program, NO_COMMAND, read.payload.command),
            f"port{index}_write": written.payload.command,
        }
    late = {name: Signal(INDEX_BITS, name=f"{name}_command", reset_less=True) for name in commands}
    m.d.sync += [register.eq(commands[name]) for name, register in late.items()]
    handed = sequencer.handed_command  # is a cycle late
    return happens, late | {name: handed[name] for name in handed.shape().members}
