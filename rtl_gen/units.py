# SPDX-License-Identifier: Apache-2.0
"""The units of an accelerator."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter, Signal

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.array import Array
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.blocks.merge import StreamMerge
from rtl_gen.blocks.reset import BlockResets
from rtl_gen.control.fault_choice import FaultChoice
from rtl_gen.control.sequencer import Sequencer
from rtl_gen.control.tile_wait import TileWait
from rtl_gen.decoder.decoder import Decoder
from rtl_gen.dma.beat_router import BeatRouter
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.loader import Loader
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.storer import Storer
from rtl_gen.interfaces.dma import READ_DESCRIPTOR
from rtl_gen.interfaces.members import members
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.vector.vector_unit import VectorUnit
from rtl_gen.writer.writer import ResultWriter

__all__ = ["Units"]


class Units:
    """The units of a chip, as submodules of `m`, each with a reset of its own (`resets`). All but
    the registers, the sequencer and what finishes on the bus are reset while the sequencer says so,
    a cycle behind it: when a program runs, they are out of reset. The lanes are two cycles later,
    before the first command has been read from memory.
    """

    def __init__(self, m: Module, config: AcceleratorConfig, *, black_box: bool) -> None:
        numbers = range(config.ports)
        self.config = config
        self.registers = LiteRegisters(config=config)
        self.sequencer = Sequencer(config=config)
        self.ports = [MemoryPort(config=config) for _ in numbers]
        self.command_merge = StreamMerge(shape=READ_DESCRIPTOR)
        self.routers = [BeatRouter() for _ in numbers]
        self.faults = FaultChoice(config=config)
        self.fetch = FetchUnit(config=config)
        self.decoders = [Decoder(config=config) for _ in numbers]
        self.array = Array(config=config, black_box=black_box)
        self.memory = ActivationMemory(config=config, black_box=black_box)
        self.writer = ResultWriter(config=config)
        self.vector = VectorUnit(config=config)
        self.loader = Loader(config=config)
        self.storer = Storer(config=config)
        self.tile_wait = TileWait(config=config)

        always = {
            "registers": self.registers,
            "sequencer": self.sequencer,
            "command_merge": self.command_merge,
            **{f"port{index}": port for index, port in enumerate(self.ports)},
        }
        units = {
            **{f"decoder{index}": decoder for index, decoder in enumerate(self.decoders)},
            "fetch": self.fetch,
            "array": self.array,
            "memory": self.memory,
            "writer": self.writer,
            "vector": self.vector,
            "loader": self.loader,
            "storer": self.storer,
            "tile_wait": self.tile_wait,
        }
        self.resets = BlockResets(always=list(always), units=list(units))
        m.submodules.resets = self.resets
        m.submodules.faults = self.faults
        for index, router in enumerate(self.routers):
            m.submodules[f"router{index}"] = router
        m.d.comb += self.resets.unit_reset.eq(self.sequencer.unit_reset)
        reset_of = members(self.resets.reset)
        for name, block in (always | units).items():
            # Of one name in every block, so that copies of a block have the same ports.
            reset = Signal(name="block_reset")
            m.d.comb += reset.eq(reset_of[name])
            m.submodules[name] = ResetInserter(reset)(block)
