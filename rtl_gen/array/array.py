# SPDX-License-Identifier: Apache-2.0
"""The matrix array: tile and parameter buffers, T lanes and their control."""

from __future__ import annotations

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.array_control import ArrayControl
from rtl_gen.array.parameter_buffer import ParameterBuffer
from rtl_gen.array.row_pairing import RowPairing
from rtl_gen.array.tile_buffer import TileBuffer
from rtl_gen.interfaces.array_activity import ArrayActivitySignature
from rtl_gen.interfaces.command import COMMAND_BITS, step_layout
from rtl_gen.interfaces.memory import MemoryReadSignature
from rtl_gen.interfaces.result import result_word_layout
from rtl_gen.interfaces.tile import FillSignature, parameter_write_layout, tile_write_layout
from rtl_gen.lane.lane_chain import LaneChain

__all__ = ["Array"]


class Array(wiring.Component):
    """Executes MATMUL and ATTEND as `meadow.spec.commands` defines them.

    Parameters
    ----------
    config: the configuration.
    black_box: lanes as instances of the separately converted lane module.

    Members
    -------
    i_command: In stream of COMMAND_BITS. The next command is taken as soon as the tile operations
        of the one before are laid out, so that its first phase runs while the last one is drained.
    step: In(step_layout), stable while busy.
    busy: Out, from the cycle after a command was taken until the writer has retired all its result
        words.
    i_tile: P In(FillSignature(tile_write_layout)), the parts of a tile by port.
    i_parameter: P In(FillSignature(parameter_write_layout)), likewise the W channels of a slice.
    o_read: Out(MemoryReadSignature), client "operand" of ActivationMemory; words may come any time
        later.
    o_result: Out stream of result_word_layout, always ready. Nothing is sent without a credit.
    i_result_retired: In, pulse: returns one of writer_depth(config) credits.
    o_activity: Out(ArrayActivitySignature).

    Throughput: W*T*R products per cycle, without a gap between tile operations, tiles, slices and
        commands while tiles, operand words and result credits keep up.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        tile = FillSignature(tile_write_layout(config))
        parameter = FillSignature(parameter_write_layout(config))
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "busy": Out(1),
                "i_tile": In(tile).array(config.ports),
                "i_parameter": In(parameter).array(config.ports),
                "o_read": Out(MemoryReadSignature(config)),
                "o_result": Out(stream.Signature(result_word_layout(config), always_ready=True)),
                "i_result_retired": In(1),
                "o_activity": Out(ArrayActivitySignature()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        m.submodules.control = control = ArrayControl(config=config)
        m.submodules.tiles = tiles = TileBuffer(config=config)
        m.submodules.pairing = pairing = RowPairing(config=config)
        m.submodules.parameters = parameters = ParameterBuffer(config=config)
        m.submodules.lanes = lanes = LaneChain(config=config, black_box=self._black_box)
        outside = wiring.flipped(self)
        wiring.connect(m, outside.i_command, control.i_command)
        wiring.connect(m, control.o_read, outside.o_read)
        wiring.connect(m, control.o_result, outside.o_result)
        wiring.connect(m, control.o_activity, outside.o_activity)
        wiring.connect(m, control.o_parameters, parameters.i_read)
        wiring.connect(m, control.o_lanes, lanes.i.control)
        wiring.connect(m, lanes.o_result, control.i_result)
        for fills, buffer in ((self.i_tile, tiles), (self.i_parameter, parameters)):
            for fill, write in zip(fills, buffer.i_write, strict=True):
                wiring.connect(m, wiring.flipped(fill.write), write)

        m.d.comb += [
            control.step.eq(self.step),
            control.i_tile_done.eq(Cat(tile.done for tile in self.i_tile)),
            control.i_parameter_done.eq(Cat(header.done for header in self.i_parameter)),
            control.i_result_retired.eq(self.i_result_retired),
            self.busy.eq(control.busy),
            *(tile.free.eq(control.o_tile_free) for tile in self.i_tile),
            *(header.free.eq(control.o_parameter_free) for header in self.i_parameter),
            tiles.i_read.eq(control.o_tile),
            pairing.i_rows.eq(tiles.o_rows),
            lanes.i.rows.eq(pairing.o_rows),
            lanes.i.row_sums.eq(pairing.o_row_sums),
        ]
        return m
