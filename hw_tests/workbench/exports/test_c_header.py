# SPDX-License-Identifier: Apache-2.0
"""The C header in a C compiler: every register at its offset, every mask and reset value."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw_tests.workbench.exports.cores import TOP, named_core
from meadow.spec.registers import ErrorCode
from workbench.exports.c_header import c_header
from workbench.exports.rdl import register_map_rdl


@pytest.mark.parametrize(("configuration", "language"), [("tiny", "c"), ("nano", "c++")])
def test_a_compiler_agrees_with_the_map(configuration: str, language: str, tmp_path: Path) -> None:
    core = named_core(configuration)
    (tmp_path / f"{TOP}.h").write_text(c_header(core, register_map_rdl(core)), "utf-8")
    same = [f"sizeof({TOP}_t) == {core.registers[-1].offset + 4}", f"__alignof__({TOP}_t) == 4"]
    for entry in core.registers:
        same.append(f"offsetof({TOP}_t, {entry.path}) == {entry.offset}")
        prefix = f"{TOP}__{entry.path.partition('[')[0]}__{entry.path.partition('].')[2]}".upper()
        if "[" not in entry.path:
            prefix = f"{TOP}__{entry.path.replace('.', '__')}".upper()
        for name, mask in [(b.name, b.mask) for b in entry.fields] or [("VALUE", entry.mask)]:
            if mask:
                low = (mask & -mask).bit_length() - 1
                reset = (core.resets[entry.name] & mask) >> low
                same += [f"{prefix}__{name}_bm == {mask}u", f"{prefix}__{name}_bp == {low}"]
                same.append(f"{prefix}__{name}_reset == {reset}u")
    same += [f"{TOP.upper()}__ERROR_CODE__{c.name} == {int(c)}" for c in ErrorCode]
    source = tmp_path / "check.c"
    lines = [f'#include "{TOP}.h"', f'#include "{TOP}.h"', "#include <stddef.h>"]
    lines += [f'static_assert({fact}, "{fact}");' for fact in same]
    source.write_text("\n".join(lines) + "\n", "utf-8")
    command = ["g++", "-x", language, "-Wall", "-Werror", "-fsyntax-only", str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_header_says_whose_it_is() -> None:
    core = named_core("tiny")
    text = c_header(core, register_map_rdl(core))
    assert text.splitlines()[0] == "// SPDX-License-Identifier: Apache-2.0"
    assert core.contract in text.splitlines()[1]
