# SPDX-License-Identifier: Apache-2.0
"""The units of an accelerator."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.array import Array
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.blocks.merge import StreamMerge
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
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.vector.vector_unit import VectorUnit
from rtl_gen.writer.writer import ResultWriter

__all__ = ["Units"]


class Units:
    """The units of a chip, as submodules of `m`. All but the registers, the sequencer and what
    finishes on the bus are reset while the sequencer says so.
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

        m.submodules.registers = self.registers
        m.submodules.sequencer = self.sequencer
        m.submodules.command_merge = self.command_merge
        m.submodules.faults = self.faults
        for index, (port, router) in enumerate(zip(self.ports, self.routers, strict=True)):
            m.submodules[f"port{index}"] = port
            m.submodules[f"router{index}"] = router
        reset = ResetInserter(self.sequencer.unit_reset)
        for index, decoder in enumerate(self.decoders):
            m.submodules[f"decoder{index}"] = reset(decoder)
        m.submodules.fetch = reset(self.fetch)
        m.submodules.array = reset(self.array)
        m.submodules.memory = reset(self.memory)
        m.submodules.writer = reset(self.writer)
        m.submodules.vector = reset(self.vector)
        m.submodules.loader = reset(self.loader)
        m.submodules.storer = reset(self.storer)
        m.submodules.tile_wait = reset(self.tile_wait)
