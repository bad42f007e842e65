# SPDX-License-Identifier: Apache-2.0
"""Arguments and options that several commands take, each declared once: its type, its name where
that is not the parameter's, its help and the check that needs no other option.

A command writes `seed: Annotated[int, seed_option("it")]`, or `@takes_config("tiny")` where options
make one parameter; lists of choices in help texts are made from what there is to choose from.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from boards.board import named_board
from meadow.compiler.packing.packing import CODECS
from meadow.compiler.quantise.recipe import PREFIXES, ROTATIONS
from meadow.spec.config import CONFIGURATIONS
from workbench.configurations.chosen import SUFFIX, ChosenConfig, choose_config
from workbench.devices import DEVICES, Throttle

__all__ = [
    "UNTHROTTLED",
    "CalibrationOption",
    "ChunkOption",
    "CodecOption",
    "DeviceOption",
    "JobsOption",
    "JsonOption",
    "MaxTokensOption",
    "ModelArgument",
    "PrefixOption",
    "RotateOption",
    "SetOption",
    "StallsOption",
    "TopKOption",
    "TraceOption",
    "WavesCommandsOption",
    "WavesOption",
    "WavesStepOption",
    "check_path",
    "choices",
    "path_argument",
    "path_option",
    "seed_option",
    "takes_config",
    "takes_throttle",
]


def choices(names: Iterable[str]) -> str:
    """What there is to choose from, in words: "tiny, small or zcu102"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def check_path(text: str) -> None:
    """BadParameter for the empty path: that of a shell variable which is not set, while Python
    takes it for the current folder.
    """
    if not text:
        raise typer.BadParameter("a path must not be empty, not ''")


def _path(text: str) -> Path:
    """A path as it was typed."""
    check_path(text)
    return Path(text)


def path_option(*names: str, help: str) -> Any:
    """An option that is a file or a folder."""
    return typer.Option(*names, help=help, parser=_path)


def path_argument(*, help: str) -> Any:
    """An argument that is a file or a folder."""
    return typer.Argument(help=help, parser=_path)


def seed_option(drawn: str) -> Any:
    """The seed of what a command draws: "stalls and sampling"."""
    return typer.Option(help=f"Of {drawn}.")


ModelArgument = Annotated[
    Path | None,
    path_argument(help="Image, checkpoint directory or GGUF file; the demo model if left out."),
]
DeviceOption = Annotated[str, typer.Option(help=f"{choices(DEVICES)}.")]
CodecOption = Annotated[str, typer.Option(help=f"{choices(CODECS)}.")]
RotateOption = Annotated[
    str,
    typer.Option(help=f"{choices(ROTATIONS)}: rotated coordinates; auto measures if they help."),
]
PrefixOption = Annotated[
    str,
    typer.Option(
        help=f"{choices(PREFIXES)}: keys and values of the first token in float; auto if it is a "
        "sink."
    ),
]
CalibrationOption = Annotated[
    Path | None,
    path_option(
        help="Text to calibrate with, paragraphs between empty lines; calibration.txt of the "
        "directory or the demo's stories if left out."
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(help="Blocks synthesised at once; one for each processor if left out."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Report as JSON.")]

MaxTokensOption = Annotated[int, typer.Option(help="Tokens to generate at most.")]
ChunkOption = Annotated[
    int | None,
    typer.Option(help="Prompt tokens per chunk; as few equal chunks as possible, if left out."),
]
TopKOption = Annotated[int | None, typer.Option(help="Sample from the k best tokens.")]

StallsOption = Annotated[float, typer.Option(help="Chance that an AXI channel rests.")]
TraceOption = Annotated[
    Path | None,
    path_option(
        help="Write a timeline of sim for Perfetto or chrome://tracing; see docs/timeline.md."
    ),
]

WavesOption = Annotated[
    Path | None,
    path_option(
        help="Write every signal of sim to FILE.fst, and files for GTKWave and Surfer beside it; "
        "see docs/waveforms.md."
    ),
]
WavesCommandsOption = Annotated[
    str | None,
    typer.Option(
        metavar="A:B", help="Record commands A to B of the program only; all if left out."
    ),
]
WavesStepOption = Annotated[
    int | None,
    typer.Option(help="Record this run of the program, counted from 0, the first prompt chunk."),
]

UNTHROTTLED = Throttle()
"""The default of a parameter `throttle`, which `takes_throttle` replaces."""

_THROTTLE = {
    "bandwidth_gbps": Annotated[
        float | None, typer.Option(help="DRAM limit in Gbit/s; unlimited if left out.")
    ],
    "clock_mhz": Annotated[float, typer.Option(help="Clock that times and limit refer to.")],
    "stalls": StallsOption,
    "latency_cycles": Annotated[int, typer.Option(help="DRAM latency in cycles.")],
}
"""Field of `Throttle` -> its option; the defaults are those of `Throttle`."""


def takes_throttle(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `throttle` is made of the options of the simulated memory, and of
    the command's own option `seed`.
    """
    options = {name: (option, getattr(UNTHROTTLED, name)) for name, option in _THROTTLE.items()}
    return _with_options(
        command, "throttle", options, lambda limits, given: Throttle(seed=given["seed"], **limits)
    )


SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A parameter of the configuration, over what it has; may be repeated.",
    ),
]


def takes_config(
    default: str | None, *, image: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter `config`, a ChosenConfig, is made of `--config` and `--set`: the
    configuration is found and checked before the command begins.

    default: used without `--config`; None for that of the board which the command's own option
    `board` names.
    image: the command takes an image, which brings its own configuration: without the two options
    `config` is None.
    """
    names = f"{choices(CONFIGURATIONS)}, or FILE{SUFFIX} of your own"
    left_out = f"; an image's own, or {default}, if left out" if image else ""
    left_out = "; the one that is made for the board, if left out" if default is None else left_out
    options = {
        "config_text": (
            Annotated[str | None, typer.Option("--config", help=f"{names}{left_out}.")],
            None if image else default,
        ),
        "settings": (SetOption, None),
    }

    def make(own: Mapping[str, Any], given: Mapping[str, Any]) -> ChosenConfig | None:
        text, settings = own["config_text"], own["settings"] or ()
        if image and text is None and not settings:
            return None
        if text is None:
            text = named_board(given["board"]).config_name if default is None else default
        return choose_config(text, settings)

    return lambda command: _with_options(command, "config", options, make)


def _with_options(
    command: Callable[..., None],
    name: str,
    options: Mapping[str, tuple[Any, Any]],
    make: Callable[[Mapping[str, Any], Mapping[str, Any]], object],
) -> Callable[..., None]:
    """The command with options in the place of its parameter `name`.

    options: parameter -> (annotation, default); make: called with their values and all others.
    """
    own = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name != name:
            parameters.append(parameter)
            continue
        parameters += [
            parameter.replace(name=option, annotation=annotation, default=default)
            for option, (annotation, default) in options.items()
        ]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        values = {option: given.pop(option) for option in options}
        command(**{name: make(values, given)}, **given)

    # typer looks at the annotations as well as at the signature.
    vars(with_options).update(
        __signature__=own.replace(parameters=parameters),
        __annotations__={parameter.name: parameter.annotation for parameter in parameters},
    )
    return with_options
