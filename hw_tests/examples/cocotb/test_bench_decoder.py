# SPDX-License-Identifier: Apache-2.0
"""The example of a unit alone, on the folder that `meadow generate --unit decoder` writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hw_tests.cocotb_bench.unit_folder import DECODER_BENCH, run_bench, unit_in

pytestmark = pytest.mark.cocotb


@pytest.mark.parametrize(
    "config", ["tiny", *(pytest.param(name, marks=pytest.mark.slow) for name in ("kv260", "nano"))]
)
def test_every_codec_of_a_design_is_decoded_as_golden_does(config: str, tmp_path: Path) -> None:
    design = unit_in(tmp_path / "decoder", "decoder", config)
    text = design.verilog.read_text("utf-8")
    assert run_bench(DECODER_BENCH, text, design, seed=1, top=design.top) >= 4


@pytest.mark.slow
def test_it_runs_elsewhere_by_its_makefile(tmp_path: Path) -> None:
    """As its first lines say, in a copy of the folder, with a unit that has another name."""
    root, folder = Path(__file__).parents[3], tmp_path / "user"
    command = [sys.executable, "-m", "workbench.cli", "generate", "--unit", "decoder"]
    out = tmp_path / "decoder"
    subprocess.run([*command, "--name", "mine", "--out", str(out)], cwd=root, check=True)
    shutil.copytree(DECODER_BENCH.parent, folder)
    variables = {name: value for name, value in os.environ.items() if "COV" not in name}
    variables["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    variables["PYTHONPATH"] = str(root)
    command = ["make", f"TOP={out / 'decoder.v'}", "COCOTB_TOPLEVEL=mine_decoder"]
    command.append("COCOTB_TEST_MODULES=bench_decoder")
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, (result.stdout + result.stderr)[-4000:]
    cases = list(ElementTree.parse(folder / "results.xml").iter("testcase"))
    assert len(cases) == 10
    assert not [case.get("name") for case in cases if case.find("failure") is not None]
