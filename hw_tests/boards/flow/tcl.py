# SPDX-License-Identifier: Apache-2.0
"""Runs Tcl with commands that Python answers: in tclsh, or in the Tcl that some Pythons bring."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["Answer", "TclError", "needs_tcl", "run_tcl"]

Answer = Callable[[list[str]], str]
"""What becomes of a command that Tcl does not know: its words -> its result; TclError."""

# A line is "CALL" and the words of a command in hexadecimal, or "END" and an error message.
_PRELUDE = """
proc meadow_text {value} { binary encode hex [encoding convertto utf-8 $value] }
proc unknown {args} {
  set words {}
  foreach word $args { lappend words x[meadow_text $word] }
  lassign [meadow_call "CALL $words"] kind value
  set value [encoding convertfrom utf-8 [binary decode hex [string range $value 1 end]]]
  if {$kind ne "OK"} { error $value }
  return $value
}
rename puts meadow_puts
proc puts {args} { unknown puts {*}$args }
"""
_TALK = """
fconfigure stdout -buffering line -translation lf
proc meadow_call {line} { meadow_puts $line; gets stdin }
"""
_RUN = """
if {[catch {source [lindex $argv 0]} message]} { meadow_puts "END x[meadow_text $message]"
} else { meadow_puts "END" }
"""


class TclError(Exception):
    """The error of a Tcl command."""


def _hex(text: str) -> str:
    return "x" + text.encode().hex()


def _text(word: str) -> str:
    return bytes.fromhex(word[1:]).decode()


def _reply(line: str, answer: Answer) -> str:
    words = [_text(word) for word in line.split()[1:]]
    try:
        return f"OK {_hex(answer(words))}"
    except TclError as error:
        return f"ERROR {_hex(str(error))}"


def _in_tclsh(program: str, script: Path, answer: Answer, folder: Path) -> str | None:
    prelude = folder / "prelude.tcl"
    prelude.write_text(_PRELUDE + _TALK + _RUN)
    with subprocess.Popen(
        [program, str(prelude), str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for line in process.stdout:
            if line.startswith("END"):
                return _text(line.split()[1]) if line.split()[1:] else None
            process.stdin.write(_reply(line, answer) + "\n")
            process.stdin.flush()
    raise AssertionError(f"{program} has ended in the middle of {script}")


def _in_python(script: Path, answer: Answer) -> str | None:
    import tkinter

    tcl = tkinter.Tcl()
    tcl.createcommand("meadow_call", lambda line: _reply(line, answer))
    tcl.eval(_PRELUDE)
    try:
        tcl.call("source", str(script))
    except tkinter.TclError as error:
        return str(error)
    return None


needs_tcl = pytest.mark.skipif(
    shutil.which("tclsh") is None and importlib.util.find_spec("_tkinter") is None,
    reason="there is neither tclsh nor a Tcl in this Python: apt-get install tcl",
)
"""Of tests that run Tcl."""


def run_tcl(script: Path, answer: Answer, folder: Path) -> str | None:
    """Run a script whose unknown commands, and `puts`, are answered by `answer`; the message of the
    error that ended it, None at its end. folder: for what the run needs.
    """
    program = shutil.which("tclsh")
    if program is None:
        return _in_python(script, answer)
    return _in_tclsh(program, script, answer, folder)
