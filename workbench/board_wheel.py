# SPDX-License-Identifier: Apache-2.0
"""The driver as a wheel of its own: `python -m workbench.board_wheel --out FOLDER`.

A board needs neither generator nor compiler nor simulator. So this wheel has the driver, and of
`meadow` what the driver imports: the contract and the image. It needs NumPy; text needs
`tokenizers` too, and chat templates `jinja2`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from meadow.atomic_write import OutputError, replacing
from workbench.models.imported_sources import imported_sources

__all__ = ["WHEEL_NAME", "board_wheel", "main", "wheel_files"]

WHEEL_NAME = "meadow_board"

_ROOT = Path(__file__).resolve().parents[1]
_ENTRIES = ("firmware.conversation", "firmware.tokenizer", "firmware.chat_template")
"""What a program on a board imports, beside all of `firmware.board`."""
_BY_PATH = ("firmware/template_renderer.py",)
"""What is run as a program of its own and imported by nobody."""
_FLOORS = ("firmware", "meadow")
_TEXT = {
    "METADATA": """\
Metadata-Version: 2.4
Name: meadow-board
Version: {version}
Summary: Driver of MEADOW accelerators for the Linux of a board
License-Expression: Apache-2.0
Requires-Python: >=3.11
Requires-Dist: numpy>=1.24
Provides-Extra: text
Requires-Dist: tokenizers; extra == "text"
Provides-Extra: chat
Requires-Dist: jinja2; extra == "chat"
""",
    "WHEEL": """\
Wheel-Version: 1.0
Generator: workbench.board_wheel
Root-Is-Purelib: true
Tag: py3-none-any
""",
    "entry_points.txt": "[console_scripts]\nmeadow-board = firmware.board.__main__:main\n",
}
_DATE = (1980, 1, 1, 0, 0, 0)


def wheel_files() -> list[Path]:
    """The source files that go in, sorted. ValueError if the driver has come to import something
    that a board does not need.
    """
    modules = [f"firmware.board.{path.stem}" for path in (_ROOT / "firmware/board").glob("*.py")]
    found = {_ROOT / name for name in _BY_PATH}
    for module in (*modules, *_ENTRIES):
        found.update(imported_sources(module, _ROOT))
    for path in found:
        if path.relative_to(_ROOT).parts[0] not in _FLOORS:
            raise ValueError(f"the driver must not need {path.relative_to(_ROOT)} on a board")
    return sorted(found)


def board_wheel(folder: Path) -> Path:
    """Write the wheel into a folder that is there; returns its path. The same sources always give
    the same bytes. OutputError if it cannot be written.
    """
    number = _version()
    about = f"{WHEEL_NAME}-{number}.dist-info"
    contents = {path.relative_to(_ROOT).as_posix(): path.read_bytes() for path in wheel_files()}
    for name, text in _TEXT.items():
        contents[f"{about}/{name}"] = text.format(version=number).encode()
    licence = _ROOT / "LICENSE"
    if licence.is_file():  # not in an installed MEADOW
        contents[f"{about}/licenses/LICENSE"] = licence.read_bytes()
    record = [f"{name},{_digest(data)},{len(data)}\n" for name, data in contents.items()]
    contents[f"{about}/RECORD"] = "".join([*record, f"{about}/RECORD,,\n"]).encode()
    path = folder / f"{WHEEL_NAME}-{number}-py3-none-any.whl"
    with replacing(path, "the wheel") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def _version() -> str:
    """Of MEADOW, whether it is installed or not."""
    try:
        return version("meadow")
    except PackageNotFoundError:
        text = (_ROOT / "pyproject.toml").read_text("utf-8")
        return str(tomllib.loads(text)["project"]["version"])


def _digest(data: bytes) -> str:
    code = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={code.decode()}"


def main(words: list[str] | None = None) -> int:
    """The command; 0, or one line on stderr and 2."""
    parser = argparse.ArgumentParser(prog="python -m workbench.board_wheel", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder, made if it is not there")
    out: Path = parser.parse_args(words).out
    try:
        out.mkdir(parents=True, exist_ok=True)
        path = board_wheel(out)
    except (OutputError, OSError) as error:
        print(f"meadow: {error}", file=sys.stderr)
        return 2
    print(f"{path} ({path.stat().st_size // 1024} KiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
