# SPDX-License-Identifier: Apache-2.0
"""The same configuration gives the same Verilog under every supported Python that is installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cosim.generate import generated_verilog
from hw_tests.rtl_gen.pythons import HOW_TO_PROVIDE, other_pythons
from meadow.spec.config import named_config

_ROOT = Path(__file__).parents[2]
_SCRIPT = """
import hashlib, sys
from meadow.spec.config import named_config
from rtl_gen.export import generate_verilog
verilog = generate_verilog(named_config("tiny"))
print(sys.version_info[:2], hashlib.sha256(verilog.encode()).hexdigest())
"""


@pytest.mark.slow
def test_every_python_writes_the_same_bytes() -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip(HOW_TO_PROVIDE)
    expected = hashlib.sha256(generated_verilog(named_config("tiny")).encode()).hexdigest()
    digests = {}
    for version, python in pythons.items():
        result = subprocess.run(
            [python, "-c", _SCRIPT],
            env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, f"{python}: {result.stderr[-2000:]}"
        digests[version] = result.stdout.split()[-1]
    assert digests == dict.fromkeys(pythons, expected)


def test_an_interpreter_without_the_packages_is_no_silent_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "python"
    other.write_text('#!/bin/sh\necho \'[[3, 99], {"amaranth": "0.4", "numpy": null}]\'\n')
    other.chmod(0o755)
    monkeypatch.setenv("MEADOW_PYTHONS", str(other))
    with pytest.raises(ValueError, match=r"MEADOW_PYTHONS: .* has .*0\.4.* the generator needs"):
        other_pythons()
    # The running version is not another one.
    monkeypatch.setenv("MEADOW_PYTHONS", sys.executable)
    assert other_pythons() == {}
