# SPDX-License-Identifier: Apache-2.0
"""dfx-mgr, AMD's loader of packages in /lib/firmware/xilinx, by its client program.

Source: github.com/Xilinx/dfx-mgr, README.md and example/sys/linux/dfx-mgr-client.c. Its options
were renamed: older clients have `-load NAME` and `-remove SLOT`, newer ones `-loadByName` and
`-unloadByName`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from firmware.board.errors import BoardError

__all__ = ["DfxManager"]

_SECONDS = 60
_SLOT_COLUMNS = ("Active_slot", "slotLoc")


class DfxManager:
    """The client program at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = "-loadByName" in self._run("-h")

    @classmethod
    def found(cls, root: Path) -> DfxManager | None:
        """The one of the board, or None."""
        path = root / "usr" / "bin" / "dfx-mgr-client"
        return cls(path) if path.exists() else None

    def loaded(self) -> Iterator[tuple[str, str]]:
        """(name, slot) of every package that is in a slot.

        Versions have their columns in other orders, so the line above the list says which is which:
        the slot is Active_slot ("0," or "-1") or slotLoc ("0" or "-1").
        """
        columns: list[str] = []
        for line in self._run("-listPackage").splitlines():
            words = line.split()
            if "Accelerator" in words:
                columns = ["slot" if word in _SLOT_COLUMNS else word for word in words]
            elif len(words) == len(columns) and "slot" in columns:
                slot = words[columns.index("slot")].rstrip(",")
                if slot.isdecimal():
                    yield words[columns.index("Accelerator")], slot

    def unload_all(self) -> list[str]:
        """Unload what is loaded; returns the names."""
        names = []
        for name, slot in self.loaded():
            self._run(*(("-unloadByName", name) if self._named else ("-remove", slot)))
            names.append(name)
        return names

    def load(self, name: str) -> None:
        """Load a package; BoardError with what the client says if it does not."""
        answer = self._run("-loadByName" if self._named else "-load", name)
        if "Error" in answer or "oaded" not in answer:
            raise BoardError(f"dfx-mgr did not load {name}: {' '.join(answer.split())}")

    def _run(self, *words: str) -> str:
        command = [str(self.path), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BoardError(f"{' '.join(command)} failed: {error}") from error
        return done.stdout + done.stderr
