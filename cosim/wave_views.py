# SPDX-License-Identifier: Apache-2.0
"""The signals of a waveform that one looks at first, grouped and named, as the files with which
GTKWave and Surfer open them.

Surfer gets a command file: its command language is documented, while a state file is of one
version of it (https://docs.surfer-project.org/book/commands/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from rtl_gen.interfaces.command import INDEX_BITS

__all__ = [
    "SCOPE",
    "VIEWS",
    "View",
    "Wave",
    "gtkwave_text",
    "surfer_text",
    "view_path",
    "wave_groups",
]

SCOPE = "top.meadow_top"
"""Where the design is in the hierarchy of the file."""

_CLIENTS = (
    *(("read", client) for client in ("operand", "writer", "vector", "storer")),
    *(("write", client) for client in ("writer", "vector", "loader")),
)
# Flags of GTKWave: how what follows is shown.
_BIT, _DECIMAL, _HEXADECIMAL = "@28", "@24", "@22"
_GROUP, _END_OF_GROUP = "@800200", "@1000200"


class Wave(NamedTuple):
    """A signal: its path from SCOPE on, and its bits."""

    name: str
    bits: int = 1


class View(NamedTuple):
    """A group of signals under a name of one word."""

    name: str
    waves: tuple[Wave, ...]


def _below(scope: str, *names: str, **wide: int) -> tuple[Wave, ...]:
    """Signals of a unit: those of one bit, then the wide ones with their bits."""
    path = f"accelerator.{scope}"
    return (
        *(Wave(f"{path}.{name}") for name in names),
        *(Wave(f"{path}.{name}", bits) for name, bits in wide.items()),
    )


def _port(port: int, config: AcceleratorConfig) -> View:
    address, data = config.address_bits, 8 * BEAT_BYTES
    channels = {
        "ar": {"valid": 1, "ready": 1, "addr": address, "len": 8},
        "r": {"valid": 1, "ready": 1, "last": 1, "resp": 2, "data": data},
        "aw": {"valid": 1, "ready": 1, "addr": address, "len": 8},
        "w": {"valid": 1, "ready": 1, "last": 1, "strb": BEAT_BYTES, "data": data},
        "b": {"valid": 1, "ready": 1, "resp": 2},
    }
    waves = (
        Wave(f"m_axi{port}_{channel}{wire}", bits)
        for channel, wires in channels.items()
        for wire, bits in wires.items()
    )
    return View(f"port{port}", tuple(waves))


def _decoder(port: int) -> View:
    return View(
        f"decoder{port}",
        _below(
            f"decoder{port}",
            *("i_job__valid", "i_job__ready", "i_beat__valid", "i_beat__ready"),
            *("o_parameter__write__valid", "o_parameter__free"),
            *("o_tile__write__valid", "o_tile__done", "o_tile__free"),
            o_parameter_command=INDEX_BITS,
            o_tile_command=INDEX_BITS,
        ),
    )


def _array(config: AcceleratorConfig) -> tuple[View, View]:
    array = _below(
        "array",
        *("busy", "o_activity__busy_cycle", "o_activity__stall_tile", "o_activity__stall_operand"),
        *("o_activity__stall_drain", "o_activity__stall_softmax", "i__control__issue__valid"),
        *("i__control__swap", "o_read__address__valid", "o_read__address__ready"),
        *("o_read__data__valid", "i__control__word__valid", "i__control__drain__valid"),
        "o_result__valid",
        o_activity__busy_command=INDEX_BITS,
        o_activity__drain_command=INDEX_BITS,
        o_read__data__payload=8 * config.width,
    )
    softmax = _below(
        "array.lanes.lane_0.softmax",
        *("i__valid", "i_total__valid"),
        o_maximum=16,
        o_rescale=6,
        o_probabilities=12 * config.rows,
    )
    return View("array", array), View("softmax_of_lane_0", softmax)


def wave_groups(config: AcceleratorConfig) -> tuple[View, ...]:
    """In the order in which commands and data pass the units."""
    ports = range(config.ports)
    commands = (
        *(Wave("command_index", 32), Wave("irq")),
        *_below("sequencer", "busy", "done", turn_command=INDEX_BITS),
        *_below("fetch", "busy", busy_command=INDEX_BITS),
        *(wave for unit in ("loader", "storer") for wave in _below(unit, "busy")),
    )
    grants = (
        f"i_{kind}__{client}__{'address' if kind == 'read' else 'word'}__{wire}"
        for kind, client in _CLIENTS
        for wire in ("valid", "ready")
    )
    vector = ("busy", "busy_cycle", "i_command__valid", "i_command__ready", "o_read__data__valid")
    writer = ("i_result__valid", "o_write__word__valid", "o_write__word__ready")
    errors = (
        *_below("sequencer", "o_error__valid", "unit_reset", "flush", "stuck"),
        *_below("memory", o_outside=4),
        *(wave for port in ports for wave in _below(f"decoder{port}", "error")),
    )
    return (
        View("clock", (Wave("clk"), Wave("rst"))),
        View("commands", commands),
        *(_port(port, config) for port in ports),
        *(_decoder(port) for port in ports),
        *_array(config),
        View("vector", _below("vector", *vector)),
        View("writer", _below("writer", *writer, o_write__command=INDEX_BITS)),
        View("memory_grants", _below("memory", *grants)),
        View("errors", errors),
    )


def gtkwave_text(waves: str, config: AcceleratorConfig) -> str:
    """Save file of GTKWave for the file `waves` beside it: `gtkwave WAVES SAVE`."""
    lines = [f'[dumpfile] "{waves}"', "[sst_expanded] 1"]
    for view in wave_groups(config):
        lines += [_GROUP, f"-{view.name}"]
        for name, bits in view.waves:
            bit_range = f"[{bits - 1}:0]" if bits > 1 else ""
            decimal = name.endswith("_command") or name == "command_index"
            look = _BIT if bits == 1 else _DECIMAL if decimal else _HEXADECIMAL
            lines += [look, f"{SCOPE}.{name}{bit_range}"]
        lines += [_END_OF_GROUP, f"-{view.name}"]
    return "\n".join((*lines, ""))


def surfer_text(waves: str, config: AcceleratorConfig) -> str:
    """Command file of Surfer for the file `waves`: `surfer --command-file COMMANDS WAVES`."""
    lines = [f"# surfer --command-file THIS {waves}"]
    for view in wave_groups(config):
        lines.append(f"divider_add {view.name}")
        lines += [f"variable_add {SCOPE}.{wave.name}" for wave in view.waves]
    return "\n".join((*lines, "zoom_fit", ""))


VIEWS: Mapping[str, Callable[[str, AcceleratorConfig], str]] = {
    ".gtkw": gtkwave_text,
    ".sucl": surfer_text,
}
"""Ending of a file beside the waveforms -> its text."""


def view_path(waves: Path, ending: str) -> Path:
    """FILE.gtkw beside FILE.fst."""
    return waves.with_name(f"{waves.stem}{ending}")
