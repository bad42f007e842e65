# SPDX-License-Identifier: Apache-2.0
"""The options that ask for waveforms: checked before anything is built, then placed in an image's
program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cosim.waves import Waves
from meadow.atomic_write import check_apart
from meadow.spec.image import Manifest

__all__ = ["asked_waves", "placed_waves"]

_RANGE = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)


def asked_waves(
    path: Path | None,
    commands: str | None,
    step: int | None = None,
    *,
    device: str = "sim",
    inputs: Iterable[Path] = (),
) -> Waves | None:
    """What the options --waves, --waves-commands and --waves-step ask for, None for nothing.

    ValueError for a range that is none, options without --waves, a device without signals;
    OutputError for a file that cannot be written or is one of `inputs`.
    """
    if path is None:
        given = {"--waves-commands": commands, "--waves-step": step}
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"{name} {value} needs --waves FILE.fst, where to write them")
        return None
    if device != "sim":
        raise ValueError(f"only device sim has waveforms, not {device!r}: leave --waves out")
    if path.suffix != ".fst":
        raise ValueError(f"waveforms are written as FST: the file must end in .fst, not {path}")
    first, last = 0, None
    if commands is not None:
        match = _RANGE.fullmatch(commands)
        if match is None:
            raise ValueError(
                f"--waves-commands must be A:B, the first and the last command, not {commands!r}"
            )
        first, last = int(match[1]), int(match[2])
    waves = Waves(path=path, first=first, last=last, step=step or 0)
    for file in waves.files:
        check_apart(file, inputs, "the waveforms")
    return waves


def placed_waves(waves: Waves | None, manifest: Manifest) -> Waves | None:
    """The same of the program of an image; ValueError if it has no such commands."""
    if waves is None:
        return None
    last = manifest.commands - 1
    if max(waves.first, waves.last or 0) > last:
        end = waves.first if waves.last is None else waves.last
        raise ValueError(
            f"the program has commands 0..{last}, not {waves.first}..{end} of --waves-commands"
        )
    place = manifest.regions["program"].offset
    return replace(waves, program=place, commands=manifest.commands)
