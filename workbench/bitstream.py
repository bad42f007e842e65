# SPDX-License-Identifier: Apache-2.0
"""`meadow bitstream`: a folder that Vivado builds the bitstream of a configuration on a board from,
and Vivado itself where it is.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from boards.board import BOARDS
from boards.flow.folder import ACTIVITY_NAME, CORE_INSTANCES, SCRIPT_NAME, flow_files
from boards.flow.system import System, chosen_system
from cosim.generate import generated_verilog
from meadow.atomic_write import check_folder, check_replaceable, write_files
from rtl_gen.blocks.prefix import PREFIX, top_name
from workbench.configurations.chosen import ChosenConfig
from workbench.console import print_json, say
from workbench.exports.core import MANIFEST_NAME, VERILOG_NAME, described_core
from workbench.exports.spdx import licence_text
from workbench.exports.verilog import verilog_file
from workbench.generate import verilog_manifest
from workbench.options import JsonOption, choices, path_option, takes_config
from workbench.progress import log
from workbench.switching import switching_activity

__all__ = ["NEEDS_VIVADO", "bitstream_command"]

_TOOLS = ("vivado", "bootgen")
NEEDS_VIVADO = (
    "no bitstream yet: vivado and bootgen of Vivado 2023.2 to 2025.2 must be on PATH (source its "
    "settings64.sh); {folder} is ready to be copied to where they are, and sh {script} there"
)


def _folder_files(system: System, activity: Path | None) -> dict[str, bytes]:
    switching = {}
    if activity is not None:
        log(f"reading {activity}")
        switching[ACTIVITY_NAME] = switching_activity(activity, system.clock_hz, CORE_INSTANCES)
    core = described_core(system.configuration, system.config, top_name(PREFIX))
    verilog = verilog_file(core, generated_verilog(system.config, log=log))
    log("writing the flow")
    texts = flow_files(system, core.top, core.ports) | {
        VERILOG_NAME: verilog,
        MANIFEST_NAME: json.dumps(verilog_manifest(core, verilog), indent=2) + "\n",
        "LICENSE": licence_text(),
    }
    texts |= switching
    return {path: text.encode() for path, text in texts.items()}


def _build(folder: Path) -> bool:
    """Run the flow where Vivado is; ValueError if it fails. Whether it ran."""
    if any(shutil.which(tool) is None for tool in _TOOLS):
        say(NEEDS_VIVADO.format(folder=folder, script=SCRIPT_NAME), err=True)
        return False
    log("building the bitstream, which takes hours")
    done = subprocess.run(["sh", SCRIPT_NAME], cwd=folder)
    if done.returncode:
        raise ValueError(
            f"the flow has ended with exit code {done.returncode}: see {folder / 'build'}"
        )
    return True


def _report(system: System, out: Path, files: Mapping[str, bytes], built: bool) -> dict[str, Any]:
    return dict(system.facts()) | {"folder": str(out), "files": sorted(files), "built": built}


@takes_config(None)
def bitstream_command(
    board: Annotated[str, typer.Option(help=f"{choices(BOARDS)}.")],
    out: Annotated[Path, path_option(help="Directory for everything that Vivado needs.")],
    *,
    config: ChosenConfig,
    clock_mhz: Annotated[
        float | None,
        typer.Option(help="Clock that the processing system makes; the board's own if left out."),
    ] = None,
    buffer_mib: Annotated[
        int | None,
        typer.Option(help="DMA buffer in the overlay, MiB; the board's own if left out."),
    ] = None,
    activity: Annotated[
        Path | None,
        path_option(
            help="Waveforms of a simulated decode of this configuration, FILE.fst of --waves, from "
            "which power is estimated."
        ),
    ] = None,
    run: Annotated[
        bool,
        typer.Option("--run", help="Run Vivado too, where it is; else say what is missing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a folder from which Vivado builds a bitstream, with the overlay that goes with it."""
    system = chosen_system(
        board, config.name, config.config, clock_mhz=clock_mhz, buffer_mib=buffer_mib
    )
    check_folder(out, VERILOG_NAME)
    if out.is_dir():
        for name in (VERILOG_NAME, MANIFEST_NAME):
            check_replaceable(out / name, name)
    files = _folder_files(system, activity)
    write_files(out, files)
    log(f"wrote {len(files)} files to {out}, for {system.name} at {system.mhz} MHz")
    built = run and _build(out)
    if as_json:
        print_json(_report(system, out, files, built))
