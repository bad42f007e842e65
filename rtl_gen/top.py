# SPDX-License-Identifier: Apache-2.0
"""The accelerator: one AXI4-Lite slave, P AXI4 masters, and the units between them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.commands import TrafficClass
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.registers import ErrorCode
from rtl_gen.array.array import Array
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.blocks.merge import StreamMerge
from rtl_gen.control.sequencer import Sequencer
from rtl_gen.control.tile_wait import TileWait
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.loader import Loader
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.storer import Storer
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.axi import Axi4Signature, LiteSignature
from rtl_gen.interfaces.command import INDEX_BITS, NO_COMMAND
from rtl_gen.interfaces.dma import READ_DESCRIPTOR, Route
from rtl_gen.interfaces.members import members
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.vector.vector_unit import VectorUnit
from rtl_gen.writer.writer import ResultWriter

__all__ = ["Accelerator"]

_COUNTED = {
    TrafficClass.WEIGHTS: "bytes_weights",
    TrafficClass.KV_READ: "bytes_kv_read",
    TrafficClass.KV_WRITE: "bytes_kv_write",
    TrafficClass.ACTIVATIONS: "bytes_activations",
    TrafficClass.COMMANDS: "bytes_commands",
}


class Accelerator(wiring.Component):
    """Everything of one configuration.

    Parameters
    ----------
    config: the configuration.
    black_box: lanes and memory banks are instances of the separate modules `meadow_lane` and
        `meadow_activation_bank`.

    Members
    -------
    s_axi: In(LiteSignature), register map of meadow.spec.registers.
    m_axi: P Out(Axi4Signature).
    irq: Out, level.
    activity: Out, see `activity_items`.
    unit_command: Out, see `activity_units`.
    command_index: Out(32), commands handed to their units so far.

    Units are reset together while the sequencer flushes after an error or a soft reset; memories
    keep their content.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        super().__init__(
            {
                "s_axi": In(LiteSignature()),
                "irq": Out(1),
                "activity": Out(len(activity_items(config))),
                "unit_command": Out(INDEX_BITS * len(activity_units(config))),
                "command_index": Out(32),
                "m_axi": Out(Axi4Signature(address_bits=config.address_bits)).array(config.ports),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        reset = Signal()

        def unit(name: str, component):
            m.submodules[name] = ResetInserter(reset)(component)
            return component

        m.submodules.registers = registers = LiteRegisters(config=config)
        m.submodules.sequencer = sequencer = Sequencer(config=config)
        ports = []
        for index in range(config.ports):
            port = MemoryPort(config=config)
            m.submodules[f"port{index}"] = port
            ports.append(port)
        fetch = unit("fetch", FetchUnit(config=config))
        decoders = [unit(f"decoder{i}", Decoder(config=config)) for i in range(config.ports)]
        array = unit("array", Array(config=config, black_box=self._black_box))
        memory = unit("memory", ActivationMemory(config=config, black_box=self._black_box))
        writer = unit("writer", ResultWriter(config=config))
        vector = unit("vector", VectorUnit(config=config))
        loader = unit("loader", Loader(config=config))
        storer = unit("storer", Storer(config=config))
        tile_wait = unit("tile_wait", TileWait(config=config))

        wiring.connect(m, wiring.flipped(self.s_axi), registers.bus)
        for index, port in enumerate(ports):
            wiring.connect(m, port.axi, wiring.flipped(self.m_axi[index]))
            m.d.comb += [
                port.window_base.eq(registers.window_base),
                port.window_beats.eq(registers.window_beats),
                port.flush.eq(sequencer.flush),
            ]
        self._connect_control(m, registers, sequencer, ports, reset)
        self._connect_progress(m, sequencer, ports, memory, array)
        for component in (fetch, array, vector, loader, storer):
            m.d.comb += component.step.eq(registers.step)
        m.d.comb += [
            sequencer.fetch_busy.eq(fetch.busy | Cat(decoder.busy for decoder in decoders).any()),
            sequencer.i_outside.eq(memory.o_outside),
            sequencer.i_outside_command.eq(memory.o_outside_command),
            sequencer.unit_busy[0].eq(array.busy | writer.busy),
            sequencer.unit_busy[1].eq(vector.busy),
            sequencer.unit_busy[2].eq(loader.busy),
            sequencer.unit_busy[3].eq(storer.busy),
        ]
        for source, sink in (
            (sequencer.o_fetch, fetch.i_command),
            (sequencer.o_unit.array, array.i_command),
            (sequencer.o_unit.vector, vector.i_command),
            (sequencer.o_unit.loader, loader.i_command),
            (sequencer.o_unit.storer, storer.i_command),
        ):
            wiring.connect(m, source, sink)
        self._connect_memory(m, memory, array, writer, vector, loader, storer)
        self._connect_ports(m, ports, sequencer, fetch, decoders, array, loader, storer)
        self._connect_tile_wait(m, tile_wait, decoders, array)
        self._connect_counters(m, registers, ports, array, vector, tile_wait)
        self._connect_activity(
            m, registers, sequencer, ports, fetch, decoders, array, writer, vector, loader, storer
        )
        return m

    def _connect_control(self, m: Module, registers, sequencer, ports, reset) -> None:
        wiring.connect(m, sequencer.o_error, registers.i_error)
        m.d.comb += [
            reset.eq(sequencer.unit_reset),
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
            self.command_index.eq(sequencer.command_index),
            self.irq.eq(registers.interrupt),
        ]

    def _connect_progress(self, m: Module, sequencer, ports, memory, array) -> None:
        """Anything that moves, whoever moves it; a register for each port, then one for all."""
        moves = [memory.o_active, array.busy_cycle]
        for index, port in enumerate(ports):
            axi = port.axi
            moved = Signal(name=f"port{index}_moves")
            m.d.sync += moved.eq(
                port.o_read_beat.valid
                | port.o_write_beat.valid
                | (axi.arvalid & axi.arready)
                | (axi.awvalid & axi.awready)
                | (axi.wvalid & axi.wready)
                | (axi.bvalid & axi.bready)
            )
            moves.append(moved)
        m.d.sync += sequencer.progress.eq(Cat(moves).any())

    def _connect_memory(self, m: Module, memory, array, writer, vector, loader, storer) -> None:
        operand = memory.i_read.operand
        wiring.connect(m, array.o_read, operand.address)
        m.d.comb += [
            operand.command.eq(array.o_read_command),
            array.i_read.valid.eq(operand.data.valid),
            array.i_read.data.eq(operand.data.payload),
        ]
        wiring.connect(m, writer.o_read, memory.i_read.writer)
        wiring.connect(m, vector.o_read, memory.i_read.vector)
        wiring.connect(m, storer.o_read, memory.i_read.storer)
        wiring.connect(m, writer.o_write, memory.i_write.writer)
        wiring.connect(m, vector.o_write, memory.i_write.vector)
        wiring.connect(m, loader.o_write, memory.i_write.loader)
        wiring.connect(m, loader.o_norm, vector.i_norm)
        wiring.connect(m, loader.o_table, writer.i_table)
        m.d.comb += [
            writer.i_result.valid.eq(array.o_result.valid),
            writer.i_result.payload.eq(array.o_result.payload),
            array.i_result_retired.eq(writer.o_retired),
            vector.i_candidate.eq(writer.o_candidate),
            writer.i_candidate_row.eq(vector.o_candidate_row),
        ]

    def _connect_ports(
        self, m: Module, ports, sequencer, fetch, decoders, array, loader, storer
    ) -> None:
        """Read data by route, descriptors of sequencer (port 0, first) and fetch unit, decoder
        credits, writes.
        """
        for index, (port, decoder) in enumerate(zip(ports, decoders, strict=True)):
            descriptors: stream.Interface = fetch.o_read[index]
            if index == 0:
                merge = StreamMerge(shape=READ_DESCRIPTOR)
                m.submodules.command_merge = merge
                wiring.connect(m, sequencer.o_read, merge.i_first)
                wiring.connect(m, descriptors, merge.i_second)
                descriptors = merge.o
            wiring.connect(m, descriptors, port.i_read)
            wiring.connect(m, fetch.o_fill[index], decoder.i_fill)
            beat = port.o_beat.payload
            beats: stream.Interface = loader.i_beats[index]
            m.d.comb += [beats.payload.eq(beat.data), decoder.i_beat.payload.eq(beat.data)]
            with m.Switch(beat.route):
                with m.Case(Route.LOAD):
                    m.d.comb += [
                        beats.valid.eq(port.o_beat.valid),
                        port.o_beat.ready.eq(beats.ready),
                    ]
                with m.Case(Route.WEIGHTS, Route.KV):
                    m.d.comb += [
                        decoder.i_beat.valid.eq(port.o_beat.valid),
                        port.o_beat.ready.eq(decoder.i_beat.ready),
                    ]
                with m.Case(Route.COMMAND):
                    m.d.comb += port.o_beat.ready.eq(1)
            if index == 0:
                m.d.comb += [
                    sequencer.i_beat.payload.eq(beat.data),
                    sequencer.i_beat.valid.eq(port.o_beat.valid & (beat.route == Route.COMMAND)),
                ]
            m.d.comb += [
                getattr(array, f"i_tile_{index}").eq(decoder.o_tile),
                getattr(array, f"i_tile_done_{index}").eq(decoder.o_tile_done),
                decoder.i_tile_free.eq(array.o_tile_free),
                getattr(array, f"i_parameter_{index}").eq(decoder.o_parameter),
                getattr(array, f"i_parameter_done_{index}").eq(decoder.o_parameter_done),
                decoder.i_parameter_free.eq(array.o_parameter_free),
            ]
            wiring.connect(m, storer.o_write[index], port.i_write)
        self._connect_faults(m, ports, sequencer, decoders)

    def _connect_faults(self, m: Module, ports, sequencer, decoders) -> None:
        """The first fault of ports and decoders in a cycle: of the lowest port, its own before its
        decoder's; a read of commands may lie behind the end of the program, so it hides no other.
        """
        chosen = sequencer.i_fault
        first = ports[0].error
        with m.If(first.valid & first.payload.of_commands):
            m.d.comb += [chosen.valid.eq(1), chosen.payload.fault.eq(first.payload)]
        for index, (port, decoder) in reversed(list(enumerate(zip(ports, decoders, strict=True)))):
            with m.If(decoder.error):
                m.d.comb += [
                    chosen.valid.eq(1),
                    chosen.payload.port.eq(index),
                    chosen.payload.fault.eq(0),
                    chosen.payload.fault.code.eq(ErrorCode.STREAM),
                    chosen.payload.fault.command.eq(decoder.error_command),
                ]
            with m.If(port.error.valid & ~port.error.payload.of_commands):
                m.d.comb += [
                    chosen.valid.eq(1),
                    chosen.payload.port.eq(index),
                    chosen.payload.fault.eq(port.error.payload),
                ]

    def _connect_tile_wait(self, m: Module, tile_wait, decoders, array) -> None:
        m.d.comb += [
            tile_wait.i_stall.eq(array.stall_tile),
            tile_wait.i_tile_free.eq(array.o_tile_free),
        ]
        for index, decoder in enumerate(decoders):
            m.d.comb += [
                getattr(tile_wait, f"i_offered_{index}").eq(decoder.i_beat.valid),
                getattr(tile_wait, f"i_tile_done_{index}").eq(decoder.o_tile_done),
            ]

    def _connect_counters(self, m: Module, registers, ports, array, vector, tile_wait) -> None:
        m.d.comb += [
            registers.i_counters.cycles.eq(registers.busy),
            registers.i_counters.array_busy.eq(array.busy_cycle),
            registers.i_counters.stall_tile.eq(array.stall_tile),
            registers.i_counters.stall_decoder.eq(tile_wait.o_stall),
            registers.i_counters.stall_operand.eq(array.stall_operand),
            registers.i_counters.stall_drain.eq(array.stall_drain),
            registers.i_counters.stall_softmax.eq(array.stall_softmax),
            registers.i_counters.stall_vector.eq(vector.busy_cycle & ~array.busy),
            registers.i_counters.vector_busy.eq(vector.busy_cycle),
        ]
        for traffic, name in _COUNTED.items():
            beats = sum(
                (side.valid & (side.payload.traffic == traffic.value))
                for port in ports
                for side in (port.o_read_beat, port.o_write_beat)
            )
            registered = Signal(8)
            m.d.sync += registered.eq(beats * BEAT_BYTES)
            m.d.comb += members(registers.i_counters)[name].eq(registered)

    def _connect_activity(
        self,
        m: Module,
        registers,
        sequencer,
        ports,
        fetch,
        decoders,
        array,
        writer,
        vector,
        loader,
        storer,
    ) -> None:
        happens = {
            "sequencer_busy": registers.busy,
            "fetch_busy": fetch.busy,
            "drain_busy": array.drain_cycle,
            "score_drain": array.score_cycle,
            "writer_busy": writer.o_write.word.valid & writer.o_write.word.ready,
            "loader_busy": loader.busy,
            "storer_busy": storer.busy,
        }
        command = {
            "sequencer": sequencer.turn_command,
            "fetch": fetch.busy_command,
            "loader": loader.busy_command,
            "array": array.busy_command,
            "drain": array.drain_command,
            "writer": writer.o_write.command,
            "vector": vector.busy_command,
            "storer": storer.busy_command,
        }
        for index, (port, decoder) in enumerate(zip(ports, decoders, strict=True)):
            happens |= {
                f"decoder{index}_tile": decoder.o_tile.valid,
                f"decoder{index}_parameter": decoder.o_parameter.valid,
                f"port{index}_read": port.o_read_beat.valid,
                f"port{index}_write": port.o_write_beat.valid,
            }
            of_program = port.o_read_beat.payload.traffic == TrafficClass.COMMANDS.value
            command |= {
                f"decoder{index}_tile": decoder.o_tile_command,
                f"decoder{index}_parameter": decoder.o_parameter_command,
                f"port{index}_read": Mux(of_program, NO_COMMAND, port.o_read_beat.payload.command),
                f"port{index}_write": port.o_write_beat.payload.command,
            }
        for name in activity_items(self._config):
            if name not in happens:  # it has a counter
                happens[name] = members(registers.i_counters)[name][0]
        units = activity_units(self._config)
        m.d.sync += [
            self.activity.eq(Cat(happens[name] for name in activity_items(self._config))),
            self.unit_command.eq(Cat(command[unit.name] for unit in units)),
        ]
