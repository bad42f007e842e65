# SPDX-License-Identifier: Apache-2.0
"""The T lanes in a row, and the registered multiplexers that collect their result words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.interfaces.lane import LaneSignature, result_layout
from rtl_gen.lane.lane import Lane
from rtl_gen.lane.lane_clock import LaneClock

__all__ = ["LANE_MODULE", "LaneChain", "lane_verilog"]

LANE_MODULE = "meadow_lane"
"""Verilog module of one lane, the black box of `LaneChain`."""

_MERGE = 4


def lane_verilog(config: AcceleratorConfig) -> str:
    """Verilog of one lane, module `LANE_MODULE`; the same text for the same configuration."""
    return convert_component(Lane(config=config), name=LANE_MODULE)


class LaneChain(wiring.Component):
    """Lanes 0..T-1; lane t sees every micro-operation t cycles after lane 0.

    Parameters
    ----------
    black_box: lanes are instances of the separately converted module `LANE_MODULE`
        (`lane_verilog`), so that the Verilog of one lane is written once, and their clock stops
        while nothing moves in them (`LaneClock`); without it they are Amaranth submodules, for the
        Amaranth simulator. Same ports, same cycles.

    Members
    -------
    i: In(LaneSignature).
    o_result: Out stream of result_layout, always ready: the words of all lanes.

    Latency: `LaneLatency` of the configuration; o_result adds a tree of 4:1 multiplexers, one
    register per level; where nothing is valid it is any lane's word.
    Throughput: one micro-operation of each kind per cycle, one word per cycle. No back-pressure:
        words of different lanes never meet, because a lane completes a word every W/2R >= T cycles
        at most and lane t is t cycles behind lane 0.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self.config = config
        self.black_box = black_box
        self.lanes: list[Lane] = []
        result = stream.Signature(result_layout(config), always_ready=True)
        super().__init__({"i": In(LaneSignature(config)), "o_result": Out(result)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.black_box:
            control = self.i.control
            m.submodules.clock = self._clock = LaneClock(config=self.config)
            entering = (
                control.issue.valid,
                control.swap,
                control.word.valid,
                control.fetch.valid,
            )
            m.d.comb += [
                self._clock.array.eq(Cat(entering).any()),
                self._clock.drain.eq(control.drain.valid | control.finish.valid),
            ]
        arriving = data.StructLayout({"valid": 1, "result": result_layout(self.config)})
        nodes = []
        source = wiring.flipped(self.i)
        for index in range(self.config.lanes):
            lane = Lane(config=self.config)
            m.submodules[f"lane_{index}"] = self._boxed(lane) if self.black_box else lane
            self.lanes.append(lane)
            wiring.connect(m, source, lane.i)
            source = lane.o
            node = Signal(arriving, name=f"lane_{index}_result")
            m.d.comb += [
                lane.index.eq(index),
                node.valid.eq(lane.o_result.valid),
                node.result.lane.eq(index),
                node.result.data.eq(lane.o_result.payload),
            ]
            nodes.append(node)
        level = 0
        while len(nodes) > 1 or level == 0:
            level += 1
            parents = []
            for first in range(0, len(nodes), _MERGE):
                group = nodes[first : first + _MERGE]
                name = f"merge_{level}_{first // _MERGE}"
                valid = Signal(name=f"{name}_valid")
                result = Signal(result_layout(self.config), name=name, reset_less=True)
                m.d.sync += [
                    valid.eq(Cat(node.valid for node in group).any()),
                    Value.cast(result).eq(_valid_one(group)),
                ]
                parent = Signal(arriving, name=f"{name}_node")
                m.d.comb += [parent.valid.eq(valid), parent.result.eq(result)]
                parents.append(parent)
            nodes = parents
        m.d.comb += [
            self.o_result.valid.eq(nodes[0].valid),
            self.o_result.payload.eq(nodes[0].result),
        ]
        return m

    def _boxed(self, lane: Lane) -> Instance:
        """The separately converted module at the ports of `lane`, which itself is left out."""
        lane._MustUse__silence = True
        ports: dict[str, Any] = {"i_clk": self._clock.o_clock, "i_rst": self._clock.o_reset}
        for path, member, value in lane.signature.flatten(lane):
            if not isinstance(value, Const):  # `ready`
                flow = "i" if member.flow == In else "o"
                ports[f"{flow}_{'__'.join(map(str, path))}"] = value
        return Instance(LANE_MODULE, **ports)


def _valid_one(nodes: list[Any]) -> Value:
    """The result of the one that is valid; of any if none is."""
    results: list[Value] = [Value.cast(node.result) for node in nodes]
    bit = 0
    while len(results) > 1:
        upper = Cat(node.valid for index, node in enumerate(nodes) if index >> bit & 1).any()
        results = [
            Mux(upper, pair[-1], pair[0])
            for pair in (results[index : index + 2] for index in range(0, len(results), 2))
        ]
        bit += 1
    return results[0]
