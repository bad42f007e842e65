# SPDX-License-Identifier: Apache-2.0
"""`meadow run`: generate text on a device and compare every token with the golden model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cosim.waves import Waves
from firmware.session import Session
from meadow.atomic_write import check_apart
from meadow.spec.checks import check_least
from meadow.spec.limits import Limits
from workbench.configurations.chosen import ChosenConfig
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.devices import LABELS, Throttle, check_device, check_timeline, open_device
from workbench.models.cached import Loaded
from workbench.models.compile_model import input_files
from workbench.models.named import DEFAULT_CONFIG, find_model
from workbench.options import (
    UNTHROTTLED,
    ChunkOption,
    DeviceOption,
    JsonOption,
    MaxTokensOption,
    ModelArgument,
    TopKOption,
    TraceOption,
    WavesCommandsOption,
    WavesOption,
    WavesStepOption,
    seed_option,
    takes_config,
    takes_throttle,
)
from workbench.progress import log, tick
from workbench.run.measure import phase_report
from workbench.run.prompt import DEFAULT_PROMPT, Prompt
from workbench.run.reference import difference, reference_for
from workbench.run.sampler import make_sampler
from workbench.run.table import print_table
from workbench.run.text_stream import TextStream
from workbench.waves import asked_waves, placed_waves

__all__ = ["run_command", "run_model"]


def run_model(
    loaded: Loaded,
    prompt: list[int],
    *,
    device_name: str,
    throttle: Throttle,
    max_tokens: int,
    chunk: int | None,
    top_k: int | None,
    seed: int,
    on_token: Callable[[list[int]], None] = lambda tokens: None,
    timeline: Path | None = None,
    waves: Waves | None = None,
) -> dict[str, Any]:
    """Generate up to `max_tokens` tokens; the JSON-ready report, without the text.

    What does not fit the image is a ValueError before the device is built. `on_token` is called
    with all tokens so far.
    timeline: file for what the simulated chip did when; waves: of its signals. Raises
        what device, session and golden model raise.
    """
    image = loaded.image
    manifest = image.manifest
    _check_only_step(manifest.step, manifest.limits, prompt, max_tokens, chunk)
    manifest.limits.check_generation(prompt, max_tokens, chunk=chunk)
    reference = reference_for(loaded)
    first_difference = None
    tokens: list[int] = []
    with open_device(
        device_name,
        manifest.config,
        Session.window_bytes(image),
        throttle,
        log,
        timeline=timeline,
        labels=manifest.labels,
        waves=placed_waves(waves, manifest),
    ) as device:
        session = Session(device, image)
        log(f"taking in {len(prompt)} tokens")
        pending = prompt
        for token in session.generate(
            prompt, max_tokens, sampler=make_sampler(top_k, seed), chunk=chunk
        ):
            assert session.last is not None
            found = difference(session.last, reference.follow(pending))
            if found is not None and first_difference is None:
                first_difference = f"generated token {len(tokens)}: {found}"
            tokens.append(token)
            on_token(tokens)
            pending = [token]
        phases = session.phases
    rate, clock = throttle.bytes_per_cycle, throttle.clock_mhz
    start = manifest.limits.start
    steps = phases["decode"].steps
    return {
        "tokens": tokens,
        "device": device_name,
        "config": manifest.config_name,
        "contract_hash": manifest.contract_hash,
        "clock_mhz": throttle.clock_mhz,
        "matches_golden": first_difference is None,
        "prefill": phase_report(
            manifest, phases["prefill"], first=start, head_rows=1, rate=rate, clock_mhz=clock
        ),
        "decode": phase_report(
            manifest,
            phases["decode"],
            first=start + phases["prefill"].tokens,
            head_rows=steps,
            rate=rate,
            clock_mhz=clock,
        ),
        "label": LABELS[device_name],
        "golden": reference.name,
        "first_difference": first_difference,
        "prompt_tokens": prompt,
        "bandwidth_gbps": throttle.bandwidth_gbps,
        "bytes_per_cycle": None if rate is None else float(rate),
        "dram_limit": throttle.limit_text,
        "stalls": throttle.stalls,
        "seed": seed,
        "parameters": manifest.config.to_dict(),
    }


def _tick(tokens: list[int]) -> None:
    tick(f"generated {len(tokens)} tokens")


def _check_only_step(
    only: tuple[int, int] | None,
    limits: Limits,
    prompt: list[int],
    max_tokens: int,
    chunk: int | None,
) -> None:
    """ValueError if an image that serves the step `only` (position, tokens; None for any) cannot
    generate that.
    """
    taken = len(limits.own_tokens(prompt))
    one_step = max_tokens == 1 and (chunk is None or chunk >= taken)
    if only is not None and not (one_step and tuple(only) == (limits.start, taken)):
        position, tokens = only
        raise ValueError(
            f"this image was compiled for one step of {tokens} tokens from position {position} "
            f"on: it cannot take in "
            f"{taken} tokens and generate {max_tokens}; compile the model for any step"
        )


@takes_throttle
@takes_config(DEFAULT_CONFIG, image=True)
def run_command(
    model: ModelArgument = None,
    device: DeviceOption = "sim",
    *,
    config: ChosenConfig | None,
    prompt: Annotated[
        str | None, typer.Option(help=f"Text to continue; {DEFAULT_PROMPT!r} if left out.")
    ] = None,
    prompt_tokens: Annotated[str | None, typer.Option(help="Token numbers, like 1,2,3.")] = None,
    chat: Annotated[
        str | None,
        typer.Option(help="What a user says, for a model with a chat template to answer."),
    ] = None,
    max_tokens: MaxTokensOption = 128,
    throttle: Throttle = UNTHROTTLED,
    chunk: ChunkOption = None,
    seed: Annotated[int, seed_option("stalls and sampling")] = 0,
    top_k: TopKOption = None,
    trace: TraceOption = None,
    waves: WavesOption = None,
    waves_commands: WavesCommandsOption = None,
    waves_step: WavesStepOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate text on a device, compare every token with the golden model, report cycles and DRAM
    bytes.

    Exit code 1 if a token differs from the golden model.
    """
    check_device(device)
    check_least("max_tokens", max_tokens, 1)
    check_least("top-k", top_k, 1)
    asked = Prompt(text=prompt, numbers=prompt_tokens, chat=chat)
    check_timeline(trace, device)
    inputs = input_files(model)
    if trace is not None:
        check_apart(trace, inputs, "the timeline")
    recorded = asked_waves(waves, waves_commands, waves_step, device=device, inputs=inputs)
    found = find_model(model, config)
    tokens, tokenizer = asked.tokens(found)
    _check_only_step(found.step, found.limits, tokens, max_tokens, chunk)
    found.limits.check_generation(tokens, max_tokens, chunk=chunk)
    loaded = found.load(log)
    stream = TextStream(tokenizer, tokens if chat is None else [])
    report = run_model(
        loaded,
        tokens,
        device_name=device,
        throttle=throttle,
        max_tokens=max_tokens,
        chunk=chunk,
        top_k=top_k,
        seed=seed,
        on_token=_tick if as_json else stream.show,
        timeline=trace,
        waves=recorded,
    )
    report = {"text": stream.text(report["tokens"]), **report, "warnings": loaded.warnings}
    if as_json:
        print_json(report)
    else:
        stream.finish()
        print_table(report)
    if trace is not None:
        log(f"wrote the timeline {trace}")
    if recorded is not None:
        log(f"wrote {', '.join(str(path) for path in recorded.files)}")
    if not report["matches_golden"]:
        say(f"meadow: differs from the golden model at {report['first_difference']}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
