# SPDX-License-Identifier: Apache-2.0
"""The processor of a board without the board: Debian's Python and NumPy for arm64 under QEMU's user
mode, out of packages that apt downloads and checks. Nothing is installed, and nobody has to be
root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from cosim.cache import cache_directory, content_hash, obtain

__all__ = ["Machine", "MachineMissing", "machine"]

_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SOURCE = "http://deb.debian.org/debian bookworm main"
_PACKAGES = {"arm64": ("python3", "python3-numpy"), "amd64": ("qemu-user",)}
_PLUGIN = Path(__file__).with_name("accesses.c")
_ARCHIVE = "machine.tar"
_SECONDS = 300


class MachineMissing(Exception):
    """It cannot be had here; the message says why."""


@dataclass(frozen=True)
class Machine:
    """What was unpacked below `folder`, one folder for each architecture."""

    folder: Path

    def command(self, *, trace: bool = False) -> list[str]:
        """What stands before the arguments of Python. trace: accesses of the mapped page on
        standard error, see accesses.c.
        """
        host, guest = self.folder / "amd64", self.folder / "arm64"
        loader = [str(host / "lib64/ld-linux-x86-64.so.2"), "--library-path", _libraries(host)]
        qemu = [*loader, str(host / "usr/bin/qemu-aarch64")]
        plugin = ["-plugin", str(self.folder / "accesses.so")] if trace else []
        libraries = ["-L", str(guest), "-E", f"LD_LIBRARY_PATH={_libraries(guest)}"]
        return [*qemu, *plugin, *libraries, str(guest / "usr/bin/python3.11")]

    @property
    def packages(self) -> Path:
        """Where its NumPy is."""
        return self.folder / "arm64/usr/lib/python3/dist-packages"


def _libraries(root: Path) -> str:
    places = [found.parent for found in root.rglob("*.so.*") if "python" not in str(found)]
    return ":".join(sorted({str(place) for place in places}))


def machine(folder: Path) -> Machine:
    """Unpacked in an empty folder, of packages that are downloaded once into the cache;
    MachineMissing without apt, its keys, gcc or a network.
    """
    for program in ("apt-get", "dpkg-deb", "gcc"):
        if shutil.which(program) is None:
            raise MachineMissing(f"there is no {program}")
    if not _KEYS.is_file():
        raise MachineMissing(f"there is no {_KEYS}, with which packages are checked")
    if os.uname().machine != "x86_64":
        raise MachineMissing("the packages of QEMU are for x86_64")
    key = content_hash(_SOURCE, repr(_PACKAGES), _PLUGIN.read_text("utf-8"))
    kept = obtain(cache_directory() / "aarch64" / key, _make, log=print)
    with tarfile.open(kept / _ARCHIVE) as archive:
        archive.extractall(folder, filter="tar")
    return Machine(folder)


def _make(scratch: Path) -> None:
    folder = scratch / "tree"
    for architecture, packages in _PACKAGES.items():
        work = folder / "work"
        for name in ("state/lists/partial", "cache/archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_SOURCE}\n", "utf-8")
        places = {"State": "state", "State::status": "status", "Cache": "cache"}
        settings = {f"Dir::{name}": str(work / place) for name, place in places.items()}
        settings |= {"Dir::Etc::SourceList": str(work / "sources.list")}
        settings |= {"Dir::Etc::SourceParts": "/dev/null", "APT::Sandbox::User": ""}
        settings |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
        _run([*apt, "update"])
        _run([*apt, "install", "-y", "--no-install-recommends", "--download-only", *packages])
        for package in sorted((work / "cache/archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(folder / architecture)])
        shutil.rmtree(work)
    plugin = ["gcc", "-std=c11", "-O2", "-shared", "-fPIC", "-o", str(folder / "accesses.so")]
    _run([*plugin, str(_PLUGIN)])
    # The cache takes no empty files, of which packages have many.
    with tarfile.open(scratch / _ARCHIVE, "w") as archive:
        archive.add(folder, ".")
    shutil.rmtree(folder)


def _run(words: list[str]) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise MachineMissing(f"{words[0]} took longer than {_SECONDS} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise MachineMissing(f"{words[0]} failed: {last}")
