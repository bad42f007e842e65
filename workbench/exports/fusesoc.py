# SPDX-License-Identifier: Apache-2.0
"""The core file of FuseSoC (CAPI2): what to lint, simulate and hand to synthesis."""

from __future__ import annotations

from workbench.exports.core import VERILOG_NAME, Core

__all__ = ["fusesoc_core"]

_CORE = """\
CAPI=2:
{heading}
name: "meadow:accelerators:{top}:{version}"
description: "MEADOW accelerator, configuration {configuration}"

filesets:
  rtl:
    files:
      - {verilog}: {{file_type: verilogSource-2005}}
  bench:
    files:
      - {top}_tb.sv: {{file_type: systemVerilogSource}}
  software:
    files:
      - {top}.h: {{file_type: cSource, is_include_file: true}}
      - {top}.rdl: {{file_type: user}}

targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}

  lint:
    <<: *default
    description: "Verilator reads the core; a warning ends it"
    flow: lint
    flow_options:
      tool: verilator

  sim:
    <<: *default
    description: "reads the identity registers of the core"
    filesets: [rtl, bench]
    toplevel: {top}_tb
    flow: sim
    flow_options:
      tool: verilator
      mode: binary
      verilator_options: [--timing, --timescale 1ns/1ps]
"""


def fusesoc_core(core: Core) -> str:
    """The text of `<top>.core`; `fusesoc run --target=lint` and `--target=sim` work beside the
    other files.
    """
    # CAPI2 wants its mark in the first line.
    return _CORE.format(
        heading=core.heading("FuseSoC core", "#").rstrip(),
        top=core.top,
        version=core.version,
        configuration=core.configuration,
        verilog=VERILOG_NAME,
    )
