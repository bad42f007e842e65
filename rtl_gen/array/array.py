# SPDX-License-Identifier: Apache-2.0
"""The matrix array: tile and parameter buffers, T lanes and their control."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.array.array_control import ArrayControl
from rtl_gen.array.parameter_buffer import ParameterBuffer
from rtl_gen.array.tile_buffer import TileBuffer
from rtl_gen.interfaces.command import COMMAND_BITS, INDEX_BITS, step_layout
from rtl_gen.interfaces.result import result_word_layout
from rtl_gen.interfaces.tile import parameter_write_layout, tile_write_layout
from rtl_gen.lane.lane_chain import LaneChain

__all__ = ["Array"]


class Array(wiring.Component):
    """Executes MATMUL and ATTEND as `meadow.spec.commands` defines them.

    Parameters
    ----------
    config : the configuration. black_box : lanes as instances of the separately converted lane
        module.

    Members
    -------
    i_command : In stream of COMMAND_BITS. The next command is taken as soon as the steps of the one
        before are laid out, so that its first phase runs while the last one is drained.
    step : In(step_layout), stable while busy. busy : from the cycle after a command was taken until
        the writer has retired all its result words.
    i_tile_{p} : In({valid, payload: tile_write_layout}); i_tile_done_{p} : pulse, not before the
        last write, port p has completed its part of the next tile; o_tile_free : pulse, one of 2
        slots is free again. Slots take turns.
    i_parameter_{p}, i_parameter_done_{p}, o_parameter_free : the same for the W channels of a
    slice.
    o_read : Out stream of 20-bit word addresses; i_read : In({valid, data}), answers in order, of
        any latency.
    o_result : Out({valid, payload: result_word_layout}); i_result_retired : pulse, returns one of
        writer_depth(config) credits. Nothing is sent without a credit.
    busy_cycle, stall_tile, stall_operand, stall_drain, stall_softmax : one of them in each busy
        cycle, one cycle late. busy_command : with them, index of the command whose step is issued
        or waited for; with no step left, of the last command taken.
    drain_cycle, score_cycle : accumulators, and of them scores, are drained. drain_command : index
        of their command.

    Throughput: W*T*R products per cycle, without a gap between steps, tiles, slices and commands
    while tiles, operand words and result credits keep up.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self._config = config
        self._black_box = black_box
        tile = data.StructLayout({"valid": 1, "payload": tile_write_layout(config)})
        parameter = data.StructLayout({"valid": 1, "payload": parameter_write_layout(config)})
        result = data.StructLayout({"valid": 1, "payload": result_word_layout(config)})
        ports = range(config.ports)
        super().__init__(
            {
                "i_command": In(stream.Signature(COMMAND_BITS)),
                "step": In(step_layout(config)),
                "busy": Out(1),
                **{f"i_tile_{port}": In(tile) for port in ports},
                **{f"i_tile_done_{port}": In(1) for port in ports},
                "o_tile_free": Out(1),
                **{f"i_parameter_{port}": In(parameter) for port in ports},
                **{f"i_parameter_done_{port}": In(1) for port in ports},
                "o_parameter_free": Out(1),
                "o_read": Out(stream.Signature(20)),
                "o_read_command": Out(INDEX_BITS),
                "i_read": In(data.StructLayout({"valid": 1, "data": 8 * config.width})),
                "o_result": Out(result),
                "i_result_retired": In(1),
                "busy_cycle": Out(1),
                "stall_tile": Out(1),
                "stall_operand": Out(1),
                "stall_drain": Out(1),
                "stall_softmax": Out(1),
                "busy_command": Out(INDEX_BITS),
                "drain_cycle": Out(1),
                "score_cycle": Out(1),
                "drain_command": Out(INDEX_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        config = self._config
        m = Module()
        m.submodules.control = control = ArrayControl(config=config)
        m.submodules.tiles = tiles = TileBuffer(config=config)
        m.submodules.parameters = parameters = ParameterBuffer(config=config)
        m.submodules.lanes = lanes = LaneChain(config=config, black_box=self._black_box)
        outside = wiring.flipped(self)
        wiring.connect(m, outside.i_command, control.i_command)
        wiring.connect(m, control.o_read, outside.o_read)

        inputs = ["step", "i_read", "i_result_retired"]
        outputs = ["busy", "o_read_command", "o_tile_free", "o_parameter_free", "o_result"]
        outputs += ["busy_cycle", "busy_command", "drain_cycle", "score_cycle", "drain_command"]
        outputs += [f"stall_{cause}" for cause in ("tile", "operand", "drain", "softmax")]
        for port in range(config.ports):
            inputs += [f"i_tile_done_{port}", f"i_parameter_done_{port}"]
            m.d.comb += [
                getattr(tiles, f"i_write_{port}").eq(getattr(self, f"i_tile_{port}")),
                getattr(parameters, f"i_write_{port}").eq(getattr(self, f"i_parameter_{port}")),
            ]
        m.d.comb += [getattr(control, name).eq(getattr(self, name)) for name in inputs]
        m.d.comb += [getattr(self, name).eq(getattr(control, name)) for name in outputs]

        m.d.comb += [
            tiles.i_read.eq(control.o_tile),
            parameters.i_read.eq(control.o_parameter_read),
            control.i_parameters.eq(parameters.o_parameters),
            lanes.i_issue.eq(control.o_issue),
            lanes.i_issue.rows.eq(tiles.o_rows),
            lanes.i_word.eq(control.o_word),
            lanes.i_fetch.eq(control.o_fetch),
            lanes.i_drain.eq(control.o_drain),
            lanes.i_finish.eq(control.o_finish),
            control.i_result.eq(lanes.o_result),
        ]
        return m
