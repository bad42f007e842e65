# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the whole chip: what programs asked for, and how they ended.

A `Coverage` is the observer of a device: it reads the program from the window when the doorbell is
rung, and the error and the stall counters when the driver does. Each test adds what it saw to the
file that MEADOW_COVERAGE names; `report` says what nobody has seen.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from meadow.spec.commands import COMMAND_BYTES, AttendPart, Command, Opcode, RowSet, Space
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.epilogue import MatmulOutput
from meadow.spec.registers import COUNTERS, Control, ErrorCode, Status, register_map
from meadow.spec.streams import CODEC_NAMES

if TYPE_CHECKING:
    from cocotb_bench.device import CocotbDevice

__all__ = ["COVERAGE_VARIABLE", "Coverage", "markdown", "points", "read_seen", "report"]

COVERAGE_VARIABLE = "MEADOW_COVERAGE"
"""Environment variable that names the file, a JSON object of a program in each line."""
_STALLS = tuple(name for name, _ in COUNTERS if name.startswith("stall_"))
_MASKS = (
    *("causal", "not causal", "one query", "several queries", "one key block"),
    *("several key blocks", "grouped queries", "one head", "wide head", "head within a word"),
    *("one sequence", "several sequences", "empty cache", "cached tokens"),
)


def points(config: AcceleratorConfig) -> dict[str, dict[str, str]]:
    """Every point by its group: its name, and why a design cannot reach it, "" if it can."""
    baseline = "" if config.baseline else "the design has no unit of the layer-by-layer baseline"
    parts = (Opcode.SOFTMAX.name,)
    one_block = "" if config.max_head_dim > config.width else "a head fills one word at most"
    alone = "" if config.sequences > 1 else "the design holds one sequence"
    one_lane = "" if config.lanes > 1 else "query heads share keys in several lanes; there is one"
    masks = {"wide head": one_block, "several sequences": alone, "grouped queries": one_lane}
    return {
        "opcode": {name: baseline if name in parts else "" for name in Opcode.__members__},
        "epilogue": dict.fromkeys(MatmulOutput.__members__, ""),
        "codec": {
            name: "" if name in config.codecs else "the design has no decoder for it"
            for name in CODEC_NAMES
        },
        "attention": {name: "" if name == "WHOLE" else baseline for name in AttendPart.__members__},
        "mask": {name: masks.get(name, "") for name in _MASKS},
        "rows": dict.fromkeys(RowSet.__members__, ""),
        "destination of LOAD": dict.fromkeys(Space.__members__, ""),
        "error": dict.fromkeys(ErrorCode.__members__, ""),
        "stall": dict.fromkeys(_STALLS, ""),
    }


class Coverage:
    """What a device is seen to do; see `cocotb_bench.device.Observer`.

    seen: how often, by (group, point).
    """

    def __init__(self, device: CocotbDevice) -> None:
        self._device = device
        self._names = {entry.offset: entry.name for entry in register_map(device.config)}
        self._written: dict[str, int] = {}
        self.seen: Counter[tuple[str, str]] = Counter()

    def written(self, offset: int, value: int) -> None:
        """A register was written."""
        name = self._names.get(offset, "")
        self._written[name] = value
        if name == "control" and value & Control.START:
            self._program()
            self._store()

    def read(self, offset: int, value: int) -> None:
        """A register was read."""
        name = self._names.get(offset, "")
        if name == "error_code":
            self._see("error", ErrorCode(value).name)
        elif name.removesuffix("_low") in _STALLS and value:
            self._see("stall", name.removesuffix("_low"))
        elif name == "status" and value & (Status.DONE | Status.ERROR) == Status.DONE:
            self._see("error", ErrorCode.NONE.name)
        self._store()

    def _see(self, group: str, point: str) -> None:
        self.seen[group, point] += 1

    def _store(self) -> None:
        path = os.environ.get(COVERAGE_VARIABLE)
        if path and self.seen:
            with open(path, "a", encoding="utf-8") as file:
                listed = [[*point, count] for point, count in self.seen.items()]
                file.write(json.dumps(listed) + "\n")
            self.seen.clear()

    def _program(self) -> None:
        """The commands that will execute if nothing goes wrong."""
        start, memory = self._written.get("program", 0) * BEAT_BYTES, self._device.memory
        for index in range(self._written.get("program_length", 0)):
            place = start + index * COMMAND_BYTES
            try:
                command = Command.decode(memory[place : place + COMMAND_BYTES].tobytes())
            except ValueError:
                return  # damaged on purpose
            outputs = self._written.get("outputs", 0)
            if not command.condition or command.condition & outputs:
                self._command(command)
            if command.opcode == Opcode.END:
                return

    def _command(self, command: Command) -> None:
        values = command.values
        self._see("opcode", command.opcode.name)
        if command.opcode == Opcode.MATMUL:
            self._see("epilogue", MatmulOutput(values["output"]).name)
            codec = int(self._device.memory[values["offset0"] * BEAT_BYTES])
            if codec < len(CODEC_NAMES):
                self._see("codec", CODEC_NAMES[codec])
        elif command.opcode == Opcode.ATTEND:
            self._attend(values)
        if "row_set" in values and values["row_set"] in RowSet.__members__.values():
            self._see("rows", RowSet(values["row_set"]).name)
        if command.opcode == Opcode.LOAD:
            self._see("destination of LOAD", Space(values["space"]).name)

    def _attend(self, values: Mapping[str, int]) -> None:
        config, written = self._device.config, self._written
        count = written.get("sequences", 0)
        self._see("attention", AttendPart(values["part"]).name)
        self._see("mask", "causal" if values["causal"] else "not causal")
        self._see("mask", "grouped queries" if values["heads"] > 1 else "one head")
        self._see("mask", "several sequences" if count > 1 else "one sequence")
        if values["blocks"] > 1:
            self._see("mask", "wide head")
        if values["segment_beats"] < config.word_beats or config.word_beats == 1:
            self._see("mask", "head within a word")
        for index in range(count):
            tokens, position = (
                written.get(f"sequence{index}_{name}", 0) for name in ("tokens", "position")
            )
            blocks = -(-(tokens + position) // config.width)
            self._see("mask", "one key block" if blocks == 1 else "several key blocks")
            self._see("mask", "one query" if tokens == 1 else "several queries")
            self._see("mask", "cached tokens" if position else "empty cache")


def read_seen(path: Path) -> Counter[tuple[str, str]]:
    """What all tests of a run have seen."""
    seen: Counter[tuple[str, str]] = Counter()
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        for group, point, count in json.loads(line):
            seen[group, point] += count
    return seen


def report(config: AcceleratorConfig, seen: Mapping[tuple[str, str], int]) -> dict[str, object]:
    """Counts by group and point, and the holes, each with its reason, "" where there is none."""
    groups = points(config)
    counts = {
        group: {point: seen.get((group, point), 0) for point in listed}
        for group, listed in groups.items()
    }
    holes = [
        {"group": group, "point": point, "reason": reason}
        for group, listed in groups.items()
        for point, reason in listed.items()
        if not counts[group][point]
    ]
    return {"counts": counts, "holes": holes}


def markdown(facts: Mapping[str, object]) -> str:
    """The report as a document."""
    counts, holes = facts["counts"], facts["holes"]
    assert isinstance(counts, dict) and isinstance(holes, list)
    lines = ["# Functional coverage of the whole-chip bench", "", "| group | seen | of |"]
    lines += ["|---|---|---|"]
    lines += [
        f"| {group} | {_some(listed.values())} | {len(listed)} |"
        for group, listed in counts.items()
    ]
    lines += ["", "| hole | reason |", "|---|---|"] if holes else ["", "There are no holes."]
    lines += [
        f"| {hole['group']}: {hole['point']} | {hole['reason'] or 'none: a test is missing'} |"
        for hole in holes
    ]
    return "\n".join(lines) + "\n"


def _some(counts: Iterable[int]) -> int:
    return sum(1 for count in counts if count)
