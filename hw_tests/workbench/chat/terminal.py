# SPDX-License-Identifier: Apache-2.0
"""`meadow` on a terminal of its own, whose keys are pressed and whose screen is read."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from hw_tests.test_floors import ROOT

__all__ = ["Terminal"]

_PATIENCE_S = 60


class Terminal:
    """A context: `meadow arguments` as the foreground job of a new terminal.

    output : a file for standard output, instead of the terminal.

    Members
    -------
    screen : all it has written, on standard output and error.
    """

    def __init__(self, *arguments: object, output: Path | None = None) -> None:
        self._arguments = [str(argument) for argument in arguments]
        self._output = output
        self.screen = ""

    def __enter__(self) -> Terminal:
        self._keys, other = pty.openpty()
        command = [sys.executable, "-m", "workbench.cli", *self._arguments]
        environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
        # Opened anew in a session of its own, the terminal becomes that session's.
        taken = f"import os, sys; os.close(os.open({os.ttyname(other)!r}, os.O_RDWR))"
        launch = f"{taken}; os.execv(sys.argv[1], sys.argv[1:])"
        output = other if self._output is None else os.open(self._output, os.O_CREAT | os.O_WRONLY)
        self._process = subprocess.Popen(
            [sys.executable, "-c", launch, *command],
            stdin=other,
            stdout=output,
            stderr=other,
            start_new_session=True,
            env=environment,
        )
        for file in {other, output}:
            os.close(file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._keys)

    def press(self, keys: str) -> None:
        """Type; "\\x03" is Ctrl-C, "\\x04" Ctrl-D."""
        os.write(self._keys, keys.encode())

    def until(self, text: str) -> str:
        """Wait for a text behind what was waited for before; what came up to its end."""
        deadline = time.monotonic() + _PATIENCE_S
        while text not in self.screen:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} does not come: {self.screen!r}")
        seen, _, self.screen = self.screen.partition(text)
        return seen + text

    def interrupt(self, text: str) -> None:
        """Ctrl-C at a prompt, until a text comes, or the end for "".

        Python's line editor misses a signal that comes between its prompt and its wait for keys, up
        to the next one: the key is pressed again then, which counts once.
        """
        for _ in range(10):
            self.press("\x03")
            deadline = time.monotonic() + _PATIENCE_S / 10
            while not (text and text in self.screen) and self._read(deadline):
                pass
            if text in self.screen if text else self._left():
                return
        raise AssertionError(f"{text or 'the end'!r} does not come: {self.screen!r}")

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        deadline = time.monotonic() + _PATIENCE_S
        while self._read(deadline):
            pass
        return self._process.wait(timeout=_PATIENCE_S)

    def _left(self) -> bool:
        """Whether the command has ended or does so now."""
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self, deadline: float) -> bool:
        """Whether something more was read."""
        ready, _, _ = select.select([self._keys], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._keys, 4096)
        except OSError:  # nobody has it open any more
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)
