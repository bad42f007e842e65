# SPDX-License-Identifier: Apache-2.0
"""What viewers are told to show: every signal is in the Verilog with these bits, once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from cosim.wave_views import SCOPE, gtkwave_text, surfer_text, view_path, wave_groups
from hw_tests.marks import long, slow
from meadow.spec.config import named_config

_TOP = "meadow_top"
_GROUPS = (
    *("clock", "commands", "port0", "decoder0", "array", "softmax_of_lane_0", "vector", "writer"),
    *("memory_grants", "errors"),
)


def _modules(verilog: str) -> dict[str, tuple[dict[str, int], dict[str, str]]]:
    """{module: ({signal: bits}, {instance: its module})}."""
    modules: dict[str, tuple[dict[str, int], dict[str, str]]] = {}
    signals, instances = {}, {}
    for line in verilog.splitlines():
        if match := re.match(r"module \\?(\S+) ?\(", line):
            signals, instances = modules[match[1]] = ({}, {})
        elif match := re.match(r"  (?:input|output|wire|reg) (?:\[(\d+):0\] )?\\?(\S+?) ?;", line):
            signals[match[2]] = int(match[1] or 0) + 1
        elif match := re.match(r"  \\?(meadow\S+) +\\?(\S+) \($", line):
            instances[match[2]] = match[1]
    return modules


@pytest.mark.parametrize("config", ["tiny", slow("small"), long("zcu102"), long("kv260")])
def test_every_signal_is_in_the_verilog(config: str) -> None:
    modules = _modules(generated_verilog(named_config(config)))
    names = [wave.name for view in wave_groups(named_config(config)) for wave in view.waves]
    assert len(set(names)) == len(names)
    for view in wave_groups(named_config(config)):
        for wave in view.waves:
            *path, name = wave.name.split(".")
            module = _TOP
            for instance in path:
                module = modules[module][1][instance]
            assert modules[module][0][name] == wave.bits, wave


def test_gtkwave_shows_groups_that_open_and_close() -> None:
    config = named_config("tiny")
    lines = gtkwave_text("run.fst", config).splitlines()
    assert lines[0] == '[dumpfile] "run.fst"'
    names = [line[1:] for line in lines if line.startswith("-")]
    assert names == [name for group in _GROUPS for name in (group, group)]
    assert [view.name for view in wave_groups(config)] == list(_GROUPS)
    place = lines.index(f"{SCOPE}.command_index[31:0]")
    assert lines[place - 1] == "@24"  # decimal
    assert lines[lines.index(f"{SCOPE}.m_axi0_arvalid") - 1] == "@28"
    assert f"{SCOPE}.m_axi0_rdata[127:0]" in lines


def test_surfer_gets_commands_of_single_words() -> None:
    lines = surfer_text("run.fst", named_config("tiny")).splitlines()
    assert lines[0] == "# surfer --command-file THIS run.fst"
    assert lines[-1] == "zoom_fit"
    assert [line.split()[1] for line in lines if line.startswith("divider_add")] == list(_GROUPS)
    for line in lines[1:-1]:
        command, argument = line.split()
        assert command in ("divider_add", "variable_add")
        assert not set(argument) & set("#;")
    assert f"variable_add {SCOPE}.accelerator.array.busy" in lines


def test_the_files_lie_beside_the_waveforms() -> None:
    assert view_path(Path("a/b.c.fst"), ".gtkw") == Path("a/b.c.gtkw")
