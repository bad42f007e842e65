# SPDX-License-Identifier: Apache-2.0
"""The command `meadow`; every sub-command has its own file."""

from __future__ import annotations

import typer

from workbench.bench.command import bench_command
from workbench.bitstream import bitstream_command
from workbench.campaigns.corruption import corrupt_command
from workbench.campaigns.soak import soak_command
from workbench.campaigns.torture import torture_command
from workbench.chat.command import chat_command
from workbench.configurations.command import config_command
from workbench.console import ReportingGroup
from workbench.generate import generate_command
from workbench.models.accuracy_command import accuracy_command
from workbench.models.command import compile_command
from workbench.packing.ablation import ablation_command
from workbench.packing.report import report_command
from workbench.run.command import run_command
from workbench.run.verify import verify_command
from workbench.synthesis.resources import resources_command
from workbench.synthesis.timing import timing_command

__all__ = ["app", "main"]

app = typer.Typer(
    cls=ReportingGroup,
    help="Generate, program and simulate MEADOW accelerators.",
    epilog="What is built once is kept in the folder MEADOW_CACHE, else in `build` of the "
    "checkout or in ~/.cache/meadow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("config")(config_command)
app.command("generate")(generate_command)
app.command("bitstream")(bitstream_command)
app.command("compile")(compile_command)
app.command("accuracy")(accuracy_command)
app.command("run")(run_command)
app.command("chat")(chat_command)
app.command("verify")(verify_command)
app.command("bench")(bench_command)
app.command("soak")(soak_command)
app.command("corrupt")(corrupt_command)
app.command("torture")(torture_command)
app.command("report")(report_command)
app.command("ablation")(ablation_command)
app.command("resources")(resources_command)
app.command("timing")(timing_command)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
