# SPDX-License-Identifier: Apache-2.0
"""The options for waveforms: what they stand for, and what is refused before anything is built."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pywellen import Waveform
from typer.testing import CliRunner

from cosim.wave_views import SCOPE
from cosim.waves import Waves
from meadow.atomic_write import OutputError
from workbench.cli import app
from workbench.waves import asked_waves, placed_waves

_MANIFEST: Any = SimpleNamespace(commands=76, regions={"program": SimpleNamespace(offset=500)})


def test_options_become_commands_of_an_image_s_program(tmp_path: Path) -> None:
    path = tmp_path / "w.fst"
    assert asked_waves(None, None) is None and placed_waves(None, _MANIFEST) is None
    assert asked_waves(path, None) == Waves(path=path)
    asked = asked_waves(path, "10:75", 2)
    assert asked == Waves(path=path, first=10, last=75, step=2)
    placed = placed_waves(asked, _MANIFEST)
    assert placed == Waves(path=path, first=10, last=75, step=2, program=500, commands=76)
    assert placed_waves(Waves(path=path, first=75), _MANIFEST) is not None


@pytest.mark.parametrize(
    ("commands", "told"),
    [
        *(
            (text, "--waves-commands must be A:B")
            for text in ("", "1", "1:", ":1", "1:2:3", "-1:2")
        ),
        *((text, "--waves-commands must be A:B") for text in ("1.5:2", " 1:2", "٣:٤", "0x1:2")),
        ("2:1", "command 2 comes after command 1"),
    ],
)
def test_what_is_no_range_is_refused(commands: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        asked_waves(tmp_path / "w.fst", commands)


@pytest.mark.parametrize("commands", ["76:80", "0:76", "75:99"])
def test_commands_behind_the_program_are_refused(commands: str, tmp_path: Path) -> None:
    first, last = commands.split(":")
    with pytest.raises(ValueError, match=re.escape(f"commands 0..75, not {first}..{last} of")):
        placed_waves(asked_waves(tmp_path / "w.fst", commands), _MANIFEST)


def test_neither_a_model_nor_what_is_no_fst_is_replaced(tmp_path: Path) -> None:
    model = tmp_path / "w.gtkw"
    model.write_text("model")
    with pytest.raises(OutputError, match="It is made from this file"):
        asked_waves(tmp_path / "w.fst", None, inputs=[model])
    with pytest.raises(ValueError, match="must end in .fst, not "):
        asked_waves(tmp_path / "w.vcd", None)
    with pytest.raises(ValueError, match="only device sim has waveforms, not 'golden'"):
        asked_waves(tmp_path / "w.fst", None, device="golden")


@pytest.mark.sim
@pytest.mark.slow  # builds a simulator with tracing
@pytest.mark.usefixtures("small_workloads")
@pytest.mark.parametrize(
    ("command", "range", "step"),
    [
        (["run", "--max-tokens", "2"], (8, 9), 1),
        (["verify", "--tokens", "3"], (8, 9), 0),
        (["bench", "opt", "--tokens", "6", "--config", "tiny"], (3, 4), None),
    ],
    ids=["run", "verify", "bench"],
)
def test_commands_write_the_three_files(
    command: list[str], range: tuple[int, int], step: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "w.fst"
    options = ["--waves", str(path), "--waves-commands", f"{range[0]}:{range[1]}"]
    options += [] if step is None else ["--waves-step", str(step)]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["w.fst", "w.gtkw", "w.sucl"]
    assert f"wrote {path}, " in result.stderr
    clock = Waveform(str(path))[f"{SCOPE}.clk"].signal
    assert len(clock) > 100
