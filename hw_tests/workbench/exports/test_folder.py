# SPDX-License-Identifier: Apache-2.0
"""All exported files: which there are, that each run writes the same, and that one change of the
register map is followed by all of them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hw_tests.workbench.exports.cores import TOP, named_core
from workbench.exports import folder
from workbench.exports.folder import core_files

ROOT = Path(__file__).parents[3]
VERILOG = {"meadow.v": b"module"}
ALWAYS = {
    *("meadow.v", f"{TOP}.rdl", f"{TOP}.h", f"{TOP}.core", f"{TOP}.f", f"{TOP}_stub.v"),
    *(f"{TOP}_tb.sv", "LICENSE", f"{TOP}.spdx.json"),
}


def test_every_file_is_written_names_its_contract_and_is_in_the_spdx_file() -> None:
    core = named_core("nano")
    files = core_files(core, VERILOG)
    ours = {name for name in files if not name.startswith("html/")}
    assert ours == ALWAYS | {f"{TOP}.xml"} and "html/index.html" in files
    assert core_files(core, VERILOG) == files
    for name in (*(ours - {"meadow.v", "LICENSE"}), "html/index.html"):
        assert core.contract.encode() in files[name], name
    document = json.loads(files[f"{TOP}.spdx.json"])
    listed = {file["fileName"].removeprefix("./") for file in document["files"]}
    assert listed == set(files) - {f"{TOP}.spdx.json"}
    assert files[f"{TOP}.f"].decode().splitlines()[-1] == "meadow.v"
    machine = re.compile(rb"/(tmp|home|root|usr)/|\b20[2-9]\d-\d\d-\d\d")
    assert [name for name in ours if machine.search(files[name])] == []


def test_without_the_extra_the_rest_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "has_exporters", lambda: False)
    assert set(core_files(named_core("nano"), VERILOG)) == ALWAYS


_CHANGED = """
import dataclasses, json
from firmware.golden_device import GoldenDevice
from firmware.registers import Registers
from meadow.spec.config import CONFIGURATIONS
from workbench.documents.register_map import register_map_markdown
from workbench.exports.core import described_core
from workbench.exports.folder import core_files
from workbench.generate import verilog_manifest
import meadow.spec.registers
config = CONFIGURATIONS["nano"]
core = described_core("nano", config, "any_top")
registers = Registers(GoldenDevice(config, 4096), config)
registers.write("head_every", 5)
files = {n: f.decode() for n, f in core_files(core, {}).items() if not n.startswith("html/f")
         and n.endswith((".rdl", ".h", ".xml", ".json", ".html"))}
print(json.dumps({
    "source": meadow.spec.registers.__file__,
    "contract": core.contract,
    "files": files,
    "document": register_map_markdown(),
    "manifest": verilog_manifest(core, ""),
    "driver": [registers.offset("head_every"), registers.read("head_every")],
}))
"""


def test_a_change_of_one_register_is_followed_by_every_output(tmp_path: Path) -> None:
    """In a copy of the sources one register gets another name, width and meaning."""
    for package in ("meadow", "rtl_gen", "firmware", "cosim", "boards", "workbench"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "LICENSE", tmp_path)
    source = tmp_path / "meadow" / "spec" / "registers.py"
    text = source.read_text("utf-8")
    line = '("head_all", 1, "1: LM head for all rows, 0: for the last row of each sequence")'
    assert line in text
    source.write_text(text.replace(line, '("head_every", 3, "LM head for every so many")'), "utf-8")
    result = subprocess.run(
        [sys.executable, "-c", _CHANGED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert Path(seen["source"]) == source
    assert seen["contract"] != named_core("nano").contract
    files = seen["files"]
    for name, words in (
        (f"{TOP}.rdl", "value[2:0] = 0x0;\n    } head_every @0x128;"),
        (f"{TOP}.h", "#define ANY_TOP__HEAD_EVERY__VALUE_bm 0x7\n"),
        (f"{TOP}.xml", "<ipxact:name>head_every</ipxact:name>"),
        ("html/data/ral-data-0.json", '"name":"head_every","offset":"128"'),
    ):
        assert words in files[name]
        assert "head_all" not in files[name]
        if not name.startswith("html"):
            assert seen["contract"] in files[name]
    pages = "".join(page for name, page in files.items() if name.startswith("html/content/"))
    for text in (files[f"{TOP}.rdl"], files[f"{TOP}.xml"], pages, seen["document"]):
        assert "LM head for every so many" in text
    block = (
        files[f"{TOP}.xml"].partition("<ipxact:name>head_every<")[2].partition("</ipxact:field>")
    )
    assert "<ipxact:bitWidth>3<" in block[0] and "<ipxact:addressOffset>'h128<" in block[0]
    assert (
        "| 0x128 | `head_every` | rw | 2..0 | 0 | LM head for every so many |" in seen["document"]
    )
    entry = next(r for r in seen["manifest"]["registers"] if r["name"] == "head_every")
    assert (entry["offset"], entry["mask"]) == (0x128, 7)
    assert seen["driver"] == [0x128, 5]
