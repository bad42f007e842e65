# SPDX-License-Identifier: Apache-2.0
"""The blocks of a chip as RTLIL texts of their own, cut out of the text of the whole.

Cut out, not converted one by one: a block then has what stands around it in the chip, such as the
reset that the sequencer gives its unit, and its ports are those that the rest is connected to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meadow.spec.config import AcceleratorConfig
from rtl_gen.export import TOP_NAME, generate_rtlil
from rtl_gen.lane.lane_chain import LANE_MODULE
from rtl_gen.lane.lane_clock import GATE_MODULE, gate_verilog
from rtl_gen.memory.activation_bank import BANK_MODULE, bank_verilog

__all__ = ["PLACES", "TOP", "Block", "ChipTexts", "chip_texts", "cut"]

TOP = "top"
"""What is left when the blocks are taken out: the wires between them, the tree that collects the
lanes' results, and small parts such as routers and counters."""

PLACES: Mapping[str, str] = {
    "tile_buffer": r"accelerator\.array\.tiles",
    "parameter_buffer": r"accelerator\.array\.parameters",
    "array_control": r"accelerator\.array\.control",
    "decoder": r"accelerator\.decoder\d+",
    "memory_port": r"accelerator\.port\d+",
    "fetch": r"accelerator\.fetch",
    "loader": r"accelerator\.loader",
    "storer": r"accelerator\.storer",
    "activation_memory": r"accelerator\.memory",
    "writer": r"accelerator\.writer",
    "vector": r"accelerator\.vector",
    "sequencer": r"accelerator\.sequencer",
    "registers": r"accelerator\.registers",
}
"""Block -> the modules that are its copies, below `meadow_top`. The lane is a module of its own."""

_ROOT = Path(__file__).resolve().parents[2]
_MODULE = re.compile(r"^(?:attribute [^\n]*\n)*module (\S+)\n.*?^end\n", re.M | re.S)
_PORT = re.compile(r"^  wire width (\d+) (input|output) \d+  ?(\S+)$", re.M)
_CELL = re.compile(r"^  cell (\S+) (\S+)$", re.M)
_INSTANCE = re.compile(r"^  cell (\S+) (\S+)\n(.*?^  end\n)", re.M | re.S)
_CONNECTED = re.compile(r"^(    connect \S+)(.*)$", re.M)
_NUMBER = re.compile(r"\\port\$(\d+)\$")
_SOURCE = re.compile(r'attribute \\src "([^"]*)"')
_ORDER = re.compile(r" (input|output) \d+ ")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block.

    name: of the block and of its module in `text`.
    copies: how often it stands in the chip.
    text: RTLIL of the module and of those below it.
    verilog: of the modules that the text instantiates by name, empty if there are none.
    """

    name: str
    copies: int
    text: str
    verilog: str = ""


@dataclass(frozen=True)
class ChipTexts:
    """The blocks by name, and `TOP` among them, in which the others are empty modules marked as
    black boxes.
    """

    blocks: Mapping[str, Block] = field(default_factory=dict)


def chip_texts(config: AcceleratorConfig) -> tuple[str, str]:
    """RTLIL below `meadow_top` and below `meadow_lane`, the same for the same sources wherever the
    checkout lies: paths are named from the package on.
    """
    top, lane = generate_rtlil(config)
    return _settled(top), _settled(lane)


def cut(top: str, lane: str, config: AcceleratorConfig) -> ChipTexts:
    """The blocks of the texts that `chip_texts` has given.

    Copies are taken for one block when their texts are equal but for the order of their lines and
    for names; otherwise the block appears several times, with a number. ValueError if the chip has
    no module for a name of `PLACES`.
    """
    modules = {match[1]: match[0] for match in _MODULE.finditer(top)}
    verilog = {BANK_MODULE: bank_verilog(config), GATE_MODULE: gate_verilog()}
    blocks: dict[str, Block] = {}
    kind_of: dict[str, str] = {}
    numbers: dict[str, dict[str, str]] = {}
    for name, place in PLACES.items():
        pattern = re.compile(rf"\\{TOP_NAME}\.{place}")
        copies = [module for module in modules if pattern.fullmatch(module)]
        if not copies:
            raise ValueError(f"the chip has no module {place} for the block {name}")
        kinds: dict[tuple[str, ...], str] = {}
        for module in copies:
            text = "".join(
                body.replace(module, f"\\{name}")
                for path, body in modules.items()
                if path == module or path.startswith(f"{module}.")
            )
            numbers[module] = _numbers(text)
            text = _renumbered(text, numbers[module])
            content = tuple(sorted(_ORDER.sub(r" \1 ", text).splitlines()))
            if content in kinds:
                kind = blocks[kinds[content]]
                blocks[kind.name] = Block(
                    name=kind.name, copies=kind.copies + 1, text=kind.text, verilog=kind.verilog
                )
            else:
                own = name if not kinds else f"{name}_{len(kinds) + 1}"
                kinds[content] = own
                text = text.replace(f"\\{name}", f"\\{own}")
                blocks[own] = Block(
                    name=own, copies=1, text=text, verilog=_instantiated(text, verilog)
                )
            kind_of[module] = kinds[content]
    lanes = sum(cell[1] == f"\\{LANE_MODULE}" for cell in _CELL.finditer(top))
    blocks["lane"] = Block(
        name="lane", copies=lanes, text=lane.replace(f"\\{LANE_MODULE}", "\\lane")
    )
    kind_of[f"\\{LANE_MODULE}"] = "lane"
    rest = "".join(_rest(modules, kind_of, numbers))
    shells = "".join(_shell(block) for block in blocks.values())
    blocks[TOP] = Block(
        name=TOP, copies=1, text=rest + shells, verilog=_instantiated(rest, verilog)
    )
    return ChipTexts(blocks)


def _settled(text: str) -> str:
    """Without what depends on the place of the checkout: source paths from the package on."""
    places: dict[str, str] = {}

    def source(match: re.Match[str]) -> str:
        if match[1] not in places:
            places[match[1]] = "|".join(_short(part) for part in match[1].split("|"))
        return f'attribute \\src "{places[match[1]]}"'

    return _SOURCE.sub(source, text)


def _numbers(text: str) -> dict[str, str]:
    """Number of a net that Amaranth has made a port of, in the whole design -> in this text.

    Numbers of the whole depend on what else is in it, and differ between the copies of a block.
    """
    found = sorted({int(number) for number in _NUMBER.findall(text)})
    return {str(number): str(own) for own, number in enumerate(found)}


def _renumbered(text: str, numbers: Mapping[str, str]) -> str:
    return _NUMBER.sub(lambda match: f"\\port${numbers[match[1]]}$", text)


def _short(place: str) -> str:
    path = place.removeprefix(f"{_ROOT}/")
    return path.rpartition("site-packages/")[2].rpartition("lib/python3")[2]


def _instantiated(text: str, verilog: Mapping[str, str]) -> str:
    used = {match[1] for match in _CELL.finditer(text)}
    return "".join(part for name, part in verilog.items() if f"\\{name}" in used)


def _rest(
    modules: Mapping[str, str],
    kind_of: Mapping[str, str],
    numbers: Mapping[str, Mapping[str, str]],
) -> Iterator[str]:
    """The modules that belong to no block; their instances of blocks are of the block's module, and
    have its names of ports.
    """
    taken = tuple(f"{module}." for module in kind_of)
    left = {
        module: body
        for module, body in modules.items()
        if module not in kind_of and not module.startswith(taken)
    }
    own = _numbers("".join(left.values()))

    def cell(match: re.Match[str]) -> str:
        kind = f"\\{kind_of[match[1]]}" if match[1] in kind_of else match[1]
        ports = numbers.get(match[1], own)
        connections = _CONNECTED.sub(
            lambda line: _renumbered(line[1], ports) + _renumbered(line[2], own), match[3]
        )
        return f"  cell {kind} {match[2]}\n{connections}"

    for body in left.values():
        pieces, end = [], 0
        for match in _INSTANCE.finditer(body):
            pieces += [_renumbered(body[end : match.start()], own), cell(match)]
            end = match.end()
        pieces.append(_renumbered(body[end:], own))
        yield "".join(pieces).replace(f"\\{TOP_NAME}", f"\\{TOP}")


def _shell(block: Block) -> str:
    """The module of a block with its ports and nothing in it."""
    match = _MODULE.match(block.text)
    assert match is not None
    ports = [
        f"  wire width {width} {flow} {index} {name}\n"
        for index, (width, flow, name) in enumerate(_PORT.findall(match[0]), 1)
    ]
    return f"attribute \\blackbox 1\nmodule \\{block.name}\n{''.join(ports)}end\n"
