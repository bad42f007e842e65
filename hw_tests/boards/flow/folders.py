# SPDX-License-Identifier: Apache-2.0
"""Folders of the flow for tests, with a black box in the place of the Verilog of the chip."""

from __future__ import annotations

from pathlib import Path
from random import Random

from boards.flow.folder import flow_files
from boards.flow.system import System, chosen_system
from hw_tests.seeds import salted
from hw_tests.workbench.exports.cores import drawn_config
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig
from workbench.exports.core import described_core
from workbench.exports.stub import verilog_stub

__all__ = ["CASES", "TOP", "case_system", "plant", "write_folder"]

TOP = "meadow_top"
DRAWN = "drawn"
CASES = (
    ("zcu102", "zcu102"),
    ("zcu102", "tiny"),
    ("zcu102", "nano"),
    ("zcu102", DRAWN),
    ("kv260", "kv260"),
    ("kv260", "small"),
    ("kv260", "zcu102-paper"),
)
"""Boards and configurations: one, two and four ports, 32 and 40 bits of address."""


def _config(name: str) -> AcceleratorConfig:
    return drawn_config(Random(salted(16))) if name == DRAWN else CONFIGURATIONS[name]


def case_system(board: str, name: str, **asked: float) -> System:
    """A configuration on a board; the drawn one has a name that only a user would choose."""
    label = "größer--2" if name == DRAWN else name
    return chosen_system(board, label, _config(name), **asked)  # pyright: ignore[reportArgumentType]


def write_folder(system: System, folder: Path) -> Path:
    """The files of the flow, and a black box as meadow.v."""
    core = described_core(system.configuration, system.config, TOP)
    texts = flow_files(system, TOP, core.ports) | {"meadow.v": verilog_stub(core)}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def plant(folder: Path, file: str, text: str, other: str) -> None:
    """Put `other` for `text` in a file of the folder, which must hold it."""
    path = folder / file
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, other))
