# SPDX-License-Identifier: Apache-2.0
"""`meadow bench`: cycles, bytes and stalls of known model shapes on the simulated chip, every run
checked.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer
from rich.table import Table

from cosim.dram_presets import DRAM_PRESETS
from workbench.bench.model import DATAFLOWS, PHASES, BenchOptions
from workbench.bench.phases import bench
from workbench.bench.report import STALLS
from workbench.bench.workloads import WORKLOADS
from workbench.configurations.chosen import ChosenConfig
from workbench.console import EXIT_DIFFERENCE, print_json, say, show
from workbench.devices import Throttle, check_timeline
from workbench.options import (
    UNTHROTTLED,
    CodecOption,
    JsonOption,
    TraceOption,
    WavesCommandsOption,
    WavesOption,
    choices,
    seed_option,
    takes_config,
    takes_throttle,
)
from workbench.progress import log
from workbench.waves import asked_waves

__all__ = ["bench_command"]


@takes_throttle
@takes_config("zcu102")
def bench_command(
    workload: Annotated[str, typer.Argument(help=f"One of {', '.join(WORKLOADS)}.")],
    phase: Annotated[str, typer.Option(help=f"{choices(PHASES)}.")] = "prefill",
    tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of the prompt; 512, or what the model takes, if left out."),
    ] = None,
    context: Annotated[
        int, typer.Option(help="Tokens already in the KV cache when the phase starts.")
    ] = 0,
    batch: Annotated[int, typer.Option(help="Sequences side by side.")] = 1,
    layers: Annotated[
        int, typer.Option(help="Layers to simulate; they stand for all. 0: all of them.")
    ] = 1,
    chunks: Annotated[
        int,
        typer.Option(help="1: simulate one chunk at the mean position, for all. 0: all of them."),
    ] = 0,
    head_channels: Annotated[
        int,
        typer.Option(help="Outputs of the head to simulate; they stand for all. 0: all of them."),
    ] = 4096,
    *,
    config: ChosenConfig,
    throttle: Throttle = UNTHROTTLED,
    dataflow: Annotated[str, typer.Option(help=f"{choices(DATAFLOWS)}.")] = "tphs",
    codec: CodecOption = "raw",
    seed: Annotated[int, seed_option("weights, cache and tokens")] = 0,
    dram: Annotated[
        str,
        typer.Option(
            help=f"Refresh, page misses and peak of the DRAM: one of {', '.join(DRAM_PRESETS)}."
        ),
    ] = "ideal",
    trace: TraceOption = None,
    waves: WavesOption = None,
    waves_commands: WavesCommandsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate a phase of a known model shape with synthetic weights; compare with golden; report
    cycles and bytes.

    Exit code 1 if anything differs from the golden model.
    """
    options = BenchOptions(
        workload=workload,
        phase=phase,
        tokens=tokens,
        context=context,
        batch=batch,
        layers=layers,
        chunks=chunks,
        head_channels=head_channels,
        chosen=config,
        dataflow=dataflow,
        codec=codec,
        seed=seed,
    )
    throttle = dataclasses.replace(throttle, dram=dram)
    check_timeline(trace)
    recorded = asked_waves(waves, waves_commands)
    report = bench(options, throttle, log=log, timeline=trace, waves=recorded)
    if trace is not None:
        log(f"wrote the timeline {trace}")
    if recorded is not None:
        log(f"wrote {', '.join(str(path) for path in recorded.files)}")
    if as_json:
        print_json(report)
    else:
        _print_table(report, throttle.limit_text)
    if not report["matches_golden"]:
        say(f"meadow: differs from the golden model: {report['first_difference']}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)


def _print_table(report: dict[str, Any], limit_text: str) -> None:
    title = f"{report['workload']} {report['phase']} on {report['config']} ({report['label']})"
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    scaled = report["layers_simulated"] != report["layers_total"]
    rows: list[tuple[str, str]] = [
        ("dataflow, codec", f"{report['dataflow']}, {report['codec']}"),
        ("tokens, context, batch", f"{report['tokens']}, {report['context']}, {report['batch']}"),
        ("chunk", f"{report['chunk_tokens']} tokens, {report['chunks_total']} chunks"),
        (
            "simulated",
            f"{report['layers_simulated']} of {report['layers_total']} layers, "
            f"{report['cycles_simulated']:,} cycles",
        ),
        ("cycles" + (" (scaled)" if scaled else ""), f"{report['cycles']:,}"),
        (f"time at {report['clock_mhz']:g} MHz", f"{report['time_ms']:,.2f} ms"),
        (f"tokens per second, {limit_text}", f"{report['tokens_per_s']:,.1f}"),
        ("array utilisation", f"{report['array_utilisation']:.1%}"),
        (
            f"bandwidth utilisation of {report['bytes_per_cycle_offered']:.3g} B per cycle",
            f"{report['bandwidth_utilisation']:.1%}",
        ),
        (f"bandwidth left by the {report['dram']} DRAM", f"{report['bandwidth_offered']:.1%}"),
        ("weights per cycle", f"{report['weights_per_cycle']:.1f}"),
        ("bits per weight", f"{report['bits_per_weight']:.2f}"),
        *(
            (f"DRAM bytes, {name.replace('_', ' ')}", f"{value:,}")
            for name, value in report["dram_bytes"].items()
        ),
        *((f"cycles without work: {name}", f"{report['stalls'][name]:,}") for name in STALLS),
        ("values compared with golden", f"{report['checked']:,}"),
    ]
    for row in rows:
        table.add_row(*row)
    show(table)
