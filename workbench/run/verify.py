# SPDX-License-Identifier: Apache-2.0
"""`meadow verify`: run a program command by command on a device and on the golden machine, and
compare.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from firmware.session import Session
from workbench.configurations.chosen import ChosenConfig
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.devices import LABELS, Throttle, check_device, open_device
from workbench.models.compile_model import input_files
from workbench.models.named import DEFAULT_CONFIG, find_model
from workbench.options import (
    DeviceOption,
    JsonOption,
    ModelArgument,
    StallsOption,
    WavesCommandsOption,
    WavesOption,
    WavesStepOption,
    seed_option,
    takes_config,
)
from workbench.progress import log, tick
from workbench.run.single_step import plan_steps, single_step
from workbench.waves import asked_waves, placed_waves

__all__ = ["verify_command"]


@takes_config(DEFAULT_CONFIG, image=True)
def verify_command(
    model: ModelArgument = None,
    device: DeviceOption = "sim",
    *,
    config: ChosenConfig | None,
    tokens: Annotated[
        int | None,
        typer.Option(
            help="Tokens of the prefill chunk; 64, or what chunk and context hold, if left out."
        ),
    ] = None,
    stalls: StallsOption = 0.0,
    seed: Annotated[int, seed_option("stalls and tokens")] = 0,
    waves: WavesOption = None,
    waves_commands: WavesCommandsOption = None,
    waves_step: WavesStepOption = None,
    as_json: JsonOption = False,
) -> None:
    """Single-step one prefill chunk and two decode steps and compare the activation memory after
    every command.

    Exit code 1 at the first difference, which is named by layer, command, token and element.
    """
    throttle = Throttle(stalls=stalls, seed=seed)
    check_device(device)
    if tokens is not None and tokens < 1:
        raise ValueError(f"the prefill chunk must have at least 1 token, not {tokens}")
    recorded = asked_waves(
        waves, waves_commands, waves_step, device=device, inputs=input_files(model)
    )
    found_model = find_model(model, config)
    plan_steps(found_model.limits, found_model.step, tokens)
    loaded = found_model.load(log)
    manifest = loaded.image.manifest
    window = Session.window_bytes(loaded.image)
    placed = placed_waves(recorded, manifest)
    with open_device(device, manifest.config, window, throttle, log, waves=placed) as opened:
        commands, found = single_step(
            opened, loaded.image, tokens=tokens, seed=seed, log=log, tick=tick
        )
    report: dict[str, Any] = {
        "device": device,
        "config": manifest.config_name,
        "contract_hash": manifest.contract_hash,
        "parameters": manifest.config.to_dict(),
        "label": LABELS[device],
        "commands_compared": commands,
        "matches_golden": found is None,
        "difference": None if found is None else found.to_dict(),
        "warnings": loaded.warnings,
    }
    if recorded is not None:
        log(f"wrote {', '.join(str(path) for path in recorded.files)}")
    if as_json:
        print_json(report)
    elif found is None:
        say(f"{commands} commands on {device} ({LABELS[device]}), every one equal to golden")
    if found is not None:
        say(f"meadow: {found}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
