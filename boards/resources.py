# SPDX-License-Identifier: Apache-2.0
"""Resource count of a configuration on a board's device, block by block, with yosys
`synth_xilinx`.

DSPs, block RAMs and flip-flops are counted well; LUT and carry figures differ from Vivado's, and
yosys gives no timing.
The figures are estimates from synthesis: nothing here is placed, routed or measured on a board.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from amaranth.lib import wiring

from boards.board import BOARDS, named_board
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig, named_config
from rtl_gen.array.parameter_buffer import ParameterBuffer
from rtl_gen.array.tile_buffer import TileBuffer
from rtl_gen.axi.lite_registers import LiteRegisters
from rtl_gen.blocks.verilog import convert_component
from rtl_gen.control.sequencer import Sequencer
from rtl_gen.decoder.decoder import UNPACKERS, Decoder
from rtl_gen.dma.fetch import FetchUnit
from rtl_gen.dma.loader import Loader
from rtl_gen.dma.memory_port import MemoryPort
from rtl_gen.dma.storer import Storer
from rtl_gen.lane.lane_chain import LANE_MODULE, lane_verilog
from rtl_gen.memory.activation_bank import bank_verilog
from rtl_gen.memory.activation_memory import ActivationMemory
from rtl_gen.vector.vector_unit import VectorUnit
from rtl_gen.writer.writer import ResultWriter

__all__ = ["BLOCKS", "count_block", "count_device"]

BLOCKS: dict[str, Callable[[AcceleratorConfig], int]] = {
    "lane": lambda config: config.lanes,
    "tile_buffer": lambda _: 1,
    "parameter_buffer": lambda _: 1,
    "decoder": lambda config: config.ports,
    "memory_port": lambda config: config.ports,
    "fetch": lambda _: 1,
    "activation_memory": lambda _: 1,
    "writer": lambda _: 1,
    "vector": lambda _: 1,
    "loader": lambda _: 1,
    "storer": lambda _: 1,
    "sequencer": lambda _: 1,
    "registers": lambda _: 1,
}
"""Synthesised blocks and how often each stands in the chip."""

_COMPONENTS: dict[str, Callable[[AcceleratorConfig], wiring.Component]] = {
    "tile_buffer": lambda config: TileBuffer(config=config),
    "parameter_buffer": lambda config: ParameterBuffer(config=config),
    "decoder": lambda config: Decoder(config=config),
    "memory_port": lambda config: MemoryPort(config=config),
    "fetch": lambda config: FetchUnit(config=config),
    "activation_memory": lambda config: ActivationMemory(config=config, black_box=True),
    "writer": lambda config: ResultWriter(config=config),
    "vector": lambda config: VectorUnit(config=config),
    "loader": lambda config: Loader(config=config),
    "storer": lambda config: Storer(config=config),
    "sequencer": lambda config: Sequencer(config=config),
    "registers": lambda config: LiteRegisters(config=config),
    # Parts of the decoder, to compare the codecs.
    **{
        f"{codec.name.lower()}_unpacker": lambda config, unit=unit: unit(config=config)
        for codec, unit in UNPACKERS.items()
    },
}


def _block_verilog(block: str, config: AcceleratorConfig) -> str:
    if block == "lane":
        return lane_verilog(config)
    text = convert_component(_COMPONENTS[block](config), name=block)
    return text + bank_verilog(config) if block == "activation_memory" else text


def _sum_cells(cells: dict[str, int]) -> dict[str, int]:
    """Fold Xilinx primitives into DSPs, RAMB36 halves, LUTs (LUT RAM included) and flip-flops."""
    lutram = {"RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "SRL16E": 1, "SRLC32E": 1}
    lutram |= {"RAM64X1D": 2, "RAM32X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8, "RAM64X8SW": 8}
    total = {"dsp": 0, "ramb18": 0, "lut": 0, "ff": 0}
    for name, count in cells.items():
        if name.startswith("DSP"):
            total["dsp"] += count
        elif name.startswith("RAMB36"):
            total["ramb18"] += 2 * count
        elif name.startswith("RAMB18"):
            total["ramb18"] += count
        elif name.startswith("LUT") or name == "INV":
            total["lut"] += count
        elif name in lutram:
            total["lut"] += lutram[name] * count
        elif name.startswith("FD"):
            total["ff"] += count
    return total


def _count_here(
    block: str, config: AcceleratorConfig, family: str, *, luts: bool
) -> dict[str, int]:
    """What `count_block` returns; only for processes of their own.

    pyosys opens its library, and all that are opened after it, with global symbols, which breaks
    other extensions.
    """
    from pyosys import libyosys

    top = LANE_MODULE if block == "lane" else block
    synthesis = f"synth_xilinx -family {family} -top {top} -noiopad -noclkbuf"
    # Yosys takes no path with a space, so it works in the folder and names files only.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        source = Path(f"{block}.v")
        source.write_text(_block_verilog(block, config), encoding="utf-8")
        report = Path("stat.json")
        commands = [f"read_verilog {source}", f"{synthesis} -run begin:map_luts"]
        if luts:
            # Names of our wires can collide with those that abc9 makes (pyosys 0.70).
            commands += [
                "splitnets",
                "rename -enumerate -pattern w%_ w:* i:* %d o:* %d",
                f"{synthesis} -run map_luts:",
            ]
        commands.append(f"tee -q -o {report} stat -json -top {top}")
        design = libyosys.Design()
        for command in commands:
            libyosys.run_pass(command, design)
        text = report.read_text()
        cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return _sum_cells(cells)


class _Counting:
    """A process that counts one block."""

    def __init__(self, block: str, board_name: str, config_name: str, *, luts: bool) -> None:
        command = [sys.executable, "-m", "boards.resources"]
        command += ["--board", board_name, "--config", config_name, "--block", block]
        command += [] if luts else ["--no-luts"]
        self.block = block
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def result(self) -> dict[str, int]:
        """Waits for it. RuntimeError naming the block if yosys fails."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(
                f"yosys failed on block {self.block} with status {self._process.returncode}"
            )
        return json.loads(output.splitlines()[-1])


def count_block(
    block: str, board_name: str, config_name: str, *, luts: bool = True
) -> dict[str, int]:
    """Primitives of one copy of a block: `dsp`, `ramb18`, `lut`, `ff`. RuntimeError if yosys fails.

    luts: map logic to LUTs as well, which takes as long as all the rest; without it only `dsp` and
        `ramb18` are complete.
    """
    return _Counting(block, board_name, config_name, luts=luts).result()


def count_device(
    board_name: str, config_name: str | None = None, *, luts: bool = True, workers: int = 2
) -> dict[str, dict[str, int]]:
    """Counts of every block (one copy, with `copies`) and `total`; each block in a process of its
    own.

    config_name: that of the board if left out. ValueError for an unknown name, RuntimeError naming
        the block if yosys fails.
    """
    config_name = named_board(board_name).config_name if config_name is None else config_name
    config = named_config(config_name)
    result: dict[str, dict[str, int]] = {}
    running: list[_Counting] = []
    waiting = list(BLOCKS)
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(_Counting(waiting.pop(0), board_name, config_name, luts=luts))
        counting = running.pop(0)
        result[counting.block] = counting.result() | {"copies": BLOCKS[counting.block](config)}
    totals = {
        kind: sum(entry[kind] * entry["copies"] for entry in result.values())
        for kind in ("dsp", "ramb18", "lut", "ff")
    }
    result["total"] = totals | {"copies": 1}
    return result


def _main() -> None:
    parser = argparse.ArgumentParser(description="yosys resource count, block by block")
    parser.add_argument("--board", choices=BOARDS, default=next(iter(BOARDS)))
    parser.add_argument("--config", choices=CONFIGURATIONS, help="the board's own if left out")
    parser.add_argument("--block", choices=["lane", *_COMPONENTS])
    parser.add_argument("--no-luts", action="store_true", help="skip the mapping to LUTs")
    arguments = parser.parse_args()
    board, luts = named_board(arguments.board), not arguments.no_luts
    config_name = arguments.config or board.config_name
    if arguments.block:
        config = named_config(config_name)
        counted = _count_here(arguments.block, config, board.family, luts=luts)
        sys.stdout.write(json.dumps(counted) + "\n")
        return
    counts = count_device(arguments.board, config_name, luts=luts)
    # Without the mapping to LUTs, logic and the registers around it are not counted to the end.
    kinds = ["DSP", "RAMB36", *(["LUT", "FF"] if luts else [])]
    sys.stdout.write(f"| block | copies | {' | '.join(kinds)} |\n{'|---' * (2 + len(kinds))}|\n")
    for block, entry in counts.items():
        values = [entry["dsp"], entry["ramb18"] / 2, entry["lut"], entry["ff"]][: len(kinds)]
        cells = " | ".join(f"{value:g}" if value % 1 else str(int(value)) for value in values)
        sys.stdout.write(f"| {block} | {entry['copies']} | {cells} |\n")


if __name__ == "__main__":
    _main()
