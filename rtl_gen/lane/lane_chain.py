# SPDX-License-Identifier: Apache-2.0
"""The T lanes in a row, and the registered OR-tree that collects their result words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Instance, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from meadow.spec.config import AcceleratorConfig
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.interfaces.lane import result_layout
from rtl_gen.lane.lane import BUNDLES, Lane
from rtl_gen.lane.lane_clock import LaneClock

__all__ = ["LANE_MODULE", "LaneChain", "lane_verilog"]

LANE_MODULE = "meadow_lane"
"""Verilog module of one lane, the black box of `LaneChain`."""

_MERGE = 4


def lane_verilog(config: AcceleratorConfig) -> str:
    """Verilog of one lane, module `LANE_MODULE`; the same text for the same configuration."""
    return convert_component(Lane(config=config), name=LANE_MODULE)


class LaneChain(wiring.Component):
    """Lanes 0..T-1; lane t sees every bundle t cycles after lane 0.

    Parameters
    ----------
    black_box: lanes are instances of the separately converted module `LANE_MODULE`
        (`lane_verilog`), so that the Verilog of one lane is written once, and their clock stops
        while nothing moves in them (`LaneClock`); without it they are Amaranth submodules, for the
        Amaranth simulator. Same ports, same cycles.

    Members
    -------
    i_issue, i_word, i_fetch, i_drain, i_finish: see `rtl_gen.interfaces.lane`. o_result: the words
        of all lanes.

    Latency: `LaneLatency` of the configuration; o_result adds a tree of 4-input ORs, one register
    per level.
    Throughput: one bundle of each kind per cycle, one word per cycle. No back-pressure: words of
    different lanes never meet, because a lane completes a word every W/2R >= T cycles at most and
    lane t is t cycles behind lane 0.
    """

    def __init__(self, *, config: AcceleratorConfig, black_box: bool = False) -> None:
        self.config = config
        self.black_box = black_box
        self.lanes: list[Lane] = []
        members = {f"i_{name}": In(layout(config)) for name, layout in BUNDLES.items()}
        super().__init__({**members, "o_result": Out(result_layout(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bundles = {name: getattr(self, f"i_{name}") for name in BUNDLES}
        if self.black_box:
            m.submodules.clock = self._clock = LaneClock(config=self.config)
            entering = (
                self.i_issue.valid,
                self.i_issue.swap,
                self.i_word.valid,
                self.i_fetch.valid,
            )
            m.d.comb += [
                self._clock.array.eq(Cat(entering).any()),
                self._clock.drain.eq(self.i_drain.valid | self.i_finish.valid),
            ]
        nodes = []
        for index in range(self.config.lanes):
            add = self._instance if self.black_box else self._submodule
            bundles, valid, word = add(m, index, bundles)
            node = Signal(result_layout(self.config), name=f"lane_{index}_result")
            m.d.comb += node.valid.eq(valid)
            with m.If(valid):
                m.d.comb += [node.lane.eq(index), node.data.eq(word)]
            nodes.append(node)
        level = 0
        while len(nodes) > 1 or level == 0:
            level += 1
            parents = []
            for first in range(0, len(nodes), _MERGE):
                parent = Signal(result_layout(self.config), name=f"merge_{level}_{first // _MERGE}")
                merged = Const(0, 1)
                for node in nodes[first : first + _MERGE]:
                    merged = merged | Value.cast(node)
                m.d.sync += Value.cast(parent).eq(merged)
                parents.append(parent)
            nodes = parents
        m.d.comb += self.o_result.eq(nodes[0])
        return m

    def _submodule(self, m: Module, index: int, bundles: dict[str, Any]) -> tuple[Any, Any, Any]:
        m.submodules[f"lane_{index}"] = lane = Lane(config=self.config)
        self.lanes.append(lane)
        m.d.comb += lane.index.eq(index)
        m.d.comb += [getattr(lane, f"i_{name}").eq(value) for name, value in bundles.items()]
        outputs = {name: getattr(lane, f"o_{name}") for name in BUNDLES}
        return outputs, lane.o_valid, lane.o_data

    def _instance(self, m: Module, index: int, bundles: dict[str, Any]) -> tuple[Any, Any, Any]:
        outputs = {
            name: Signal(layout(self.config), name=f"lane_{index}_{name}")
            for name, layout in BUNDLES.items()
        }
        valid = Signal(name=f"lane_{index}_valid")
        word = Signal(8 * self.config.width, name=f"lane_{index}_data")
        ports: dict[str, Any] = {
            "i_clk": self._clock.o_clock,
            "i_rst": self._clock.o_reset,
            "i_index": Const(index, range(max(2, self.config.lanes))),
            "o_o_valid": valid,
            "o_o_data": word,
        }
        ports.update({f"i_i_{name}": value for name, value in bundles.items()})
        ports.update({f"o_o_{name}": value for name, value in outputs.items()})
        m.submodules[f"lane_{index}"] = Instance(LANE_MODULE, **ports)
        return outputs, valid, word
