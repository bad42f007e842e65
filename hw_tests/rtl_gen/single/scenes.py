# SPDX-License-Identifier: Apache-2.0
"""Scenes of units alone, from which their timing diagrams are made.

python -m hw_tests.rtl_gen.single.scenes    # into workbench/single/timing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from hw_tests.rtl_gen.decoder.decoder_load import Load
from hw_tests.rtl_gen.single.units_bench import Cycles, attend, decode, move
from hw_tests.rtl_gen.single.wavedrom import diagram_text
from hw_tests.seeds import recorded
from meadow.spec.commands import Command, Opcode, RowSet, Space, TrafficClass
from meadow.spec.config import named_config
from meadow.spec.step import Sequence, Step
from rtl_gen.single.interfaces import single_interfaces, single_ports
from workbench.single.timing import TIMING_FOLDER

__all__ = ["SCENES", "scene_text"]

_TINY = named_config("tiny")
_STEP = Step((Sequence(2048, 3, 2, 0),))


@dataclass(frozen=True)
class Scene:
    """play: the simulation; start: the port whose first 1 the diagram begins a cycle before; count:
    its cycles at most; rows: see `diagram_text`.
    """

    unit: str
    title: str
    play: Callable[[], Cycles]
    start: str
    count: int
    rows: tuple[str, ...]


def _load(words: int) -> Command:
    fields = {"offset": 8, "destination": 5, "destination_stride": words}
    fields |= {"space": int(Space.ACTIVATION), "row_beats": words * _TINY.word_beats}
    fields |= {"row_set": int(RowSet.CHUNK), "traffic": int(TrafficClass.ACTIVATIONS)}
    return Command(Opcode.LOAD, fields)


def _store() -> Command:
    fields = {"source": 5, "source_stride": 2, "offset": 0, "segments": 1, "segment_beats": 1}
    fields |= {"segment_stride": 64, "row_set": int(RowSet.CHUNK), "cache": 1}
    return Command(Opcode.STORE, fields | {"traffic": int(TrafficClass.KV_WRITE)})


_JOB = ("i_job__valid", "i_job__ready", "i_job.rows", "i_job.beats", "")
_BEAT = ("i_beat__valid", "i_beat__ready", "i_beat.payload", "")
_TILE = (
    *("o_tile__write__valid", "o_tile__write.slot", "o_tile__write.row", "o_tile__write.data"),
    *("o_tile__done", "o_tile__free", "", "busy"),
)
_COMMAND = ("i_command__valid", "i_command__ready", "busy", "")
_READ = (
    *("o_read__address__valid", "o_read__address__ready", "o_read__address.payload"),
    *("o_read__data__valid", "o_read__data.payload", ""),
)
_FILL = (
    *("i_tile__0__write__valid", "i_tile__0__write.slot", "i_tile__0__write.row"),
    *("i_tile__0__done", "i_tile__0__free", ""),
)
_RESULT = (
    *("o_result__valid", "o_result.address", "o_result.mode", "o_result.half"),
    *("o_result.data", "i_result_retired"),
)
_AR = ("m_axi0_arvalid", "m_axi0_arready", "m_axi0_araddr@m_axi0_arvalid")
_AR += ("m_axi0_arlen@m_axi0_arvalid", "m_axi0_rvalid", "m_axi0_rready")
_AR += ("m_axi0_rdata@m_axi0_rvalid", "m_axi0_rlast@m_axi0_rvalid", "")
_AW = ("m_axi0_awvalid", "m_axi0_awready", "m_axi0_awaddr@m_axi0_awvalid")
_AW += ("m_axi0_awlen@m_axi0_awvalid", "m_axi0_wvalid", "m_axi0_wready")
_AW += ("m_axi0_wdata@m_axi0_wvalid", "m_axi0_wlast@m_axi0_wvalid")
_AW += ("m_axi0_bvalid", "m_axi0_bready", "", "store_busy", "writes_pending")

SCENES: Mapping[str, Scene] = {
    "decoder-cache": Scene(
        "decoder",
        "Three rows of the K/V cache become rows of a tile",
        lambda: decode(
            _TINY,
            [Load(_TINY, Random(recorded(1))).add_cache(rows=3, segment_beats=1, column_beats=0)],
        ),
        "i_job__valid",
        16,
        (*_JOB, *_BEAT, *_TILE),
    ),
    "decoder-stream": Scene(
        "decoder",
        "A raw weight stream: preamble, header of a slice, one tile",
        lambda: decode(_TINY, [Load(_TINY, Random(recorded(7))).add_raw(slices=1, tiles=1)]),
        "i_job__valid",
        44,
        (
            *("i_job__valid", "i_job__ready", "i_job.slices", "i_job.tiles", "i_job.beats", ""),
            *_BEAT,
            *("o_parameter__write__valid", "o_parameter__write.beat", "o_parameter__done"),
            *("o_parameter__free", "", *_TILE),
        ),
    ),
    "attention-query": Scene(
        "attention",
        "An ATTEND of two tokens reads its queries while the first tile, of keys, is filled",
        lambda: attend(_TINY, [(0, 2)], head_dim=16, stalls=False),
        "i_command__valid",
        48,
        (*_COMMAND, *_READ, *_FILL, "o_activity__busy_cycle", "o_activity__stall_tile"),
    ),
    "attention-result": Scene(
        "attention",
        "The results of both tokens, two halves each",
        lambda: attend(_TINY, [(0, 2)], head_dim=16, stalls=False),
        "o_result__valid",
        24,
        ("o_activity__busy_cycle", "o_activity__drain_cycle", "", *_RESULT),
    ),
    "dma-load": Scene(
        "dma",
        "A LOAD of two rows of two words",
        lambda: move(_TINY, [_load(2)], _STEP),
        "i_fetch__valid",
        40,
        (
            *("i_fetch__valid", "i_fetch__ready", "i_load__valid", "i_load__ready"),
            *("fetch_busy", "load_busy", "", *_AR),
            *("o_write__word__valid", "o_write__word__ready", "o_write__word.address"),
            "o_write__word.data",
        ),
    ),
    "dma-store": Scene(
        "dma",
        "A STORE of two rows of one word to the K/V cache",
        lambda: move(_TINY, [_store()], _STEP),
        "i_store__valid",
        40,
        ("i_store__valid", "i_store__ready", "", *_READ, *_AW),
    ),
    "dma-weights": Scene(
        "dma",
        "A MATMUL of four beats: the job for a decoder, and the beats",
        lambda: move(
            _TINY,
            [Command(Opcode.MATMUL, {"slices": 1, "tiles": 1, "offset0": 16, "beats0": 4})],
            _STEP,
        ),
        "i_fetch__valid",
        30,
        (
            *("i_fetch__valid", "i_fetch__ready", "fetch_busy", ""),
            *("o_decode__0__valid", "o_decode__0__ready", "o_decode__0.slices"),
            *("o_decode__0.tiles", "o_decode__0.beats", "", *_AR),
            *("o_beat__0__valid", "o_beat__0__ready", "o_beat__0.payload"),
        ),
    ),
}
"""Name of a diagram -> its scene, in configuration `tiny`."""


def scene_text(name: str) -> str:
    """The diagram of a scene, simulated."""
    scene = SCENES[name]
    cycles = scene.play()
    first = next(place for place, cycle in enumerate(cycles) if cycle[scene.start])
    shown = cycles[max(0, first - 1) :][: scene.count]
    widths = {port["name"]: port["width"] for port in single_ports(scene.unit, _TINY)}
    interfaces = single_interfaces(scene.unit, _TINY)
    title = f"{scene.title} (simulated, tiny)"
    return diagram_text(title, shown, scene.rows, interfaces, widths)


if __name__ == "__main__":
    for name in SCENES:
        (TIMING_FOLDER / f"{name}.json").write_text(scene_text(name), "utf-8")
