# SPDX-License-Identifier: Apache-2.0
"""`meadow run`: generate text on a device and compare every token with the golden model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from firmware.session import Sampler, Session
from firmware.tokenizer import TextTokenizer, TokenizerMissing
from meadow.atomic_write import check_apart
from meadow.golden.sampling import sample_top_k
from meadow.spec.checks import check_least
from meadow.spec.limits import Limits
from workbench.console import EXIT_DIFFERENCE, print_json, say
from workbench.devices import LABELS, Throttle, check_device, check_timeline, open_device
from workbench.models.cached import Loaded
from workbench.models.compile_model import model_files
from workbench.models.named import DEFAULT_CONFIG, NamedModel, find_model
from workbench.options import (
    BandwidthOption,
    ClockOption,
    DeviceOption,
    JsonOption,
    LatencyOption,
    ModelArgument,
    StallsOption,
    TraceOption,
    image_config_option,
    seed_option,
)
from workbench.progress import log, tick
from workbench.run.measure import phase_report
from workbench.run.reference import difference, reference_for
from workbench.run.table import print_table
from workbench.run.text_stream import TextStream

__all__ = ["parse_tokens", "run_command", "run_model"]

DEFAULT_PROMPT = "Once upon a time"


def parse_tokens(text: str) -> list[int]:
    """Token numbers from "1,2,3"; ValueError for anything else, and for what no vocabulary has."""
    try:
        tokens = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"prompt tokens must be numbers like 1,2,3, not {text!r:.60}") from None
    if min(tokens) < 0:
        raise ValueError(f"a prompt token must be at least 0, not {min(tokens)}")
    return tokens


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
) -> dict[str, Any]:
    """Generate up to `max_tokens` tokens; the JSON-ready report, without the text.

    What does not fit the image is a ValueError before the device is built. `on_token` is called
    with all tokens so far.
    timeline: file for what the simulated chip did when. Raises what device, session and golden
        model raise.
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
    ) as device:
        session = Session(device, image)
        log(f"taking in {len(prompt)} tokens")
        pending = prompt
        for token in session.generate(
            prompt, max_tokens, sampler=_sampler(top_k, seed), chunk=chunk
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
    }


def _sampler(top_k: int | None, seed: int) -> Sampler | None:
    if top_k is None:
        return None
    generator = np.random.default_rng(seed)
    return lambda logits: sample_top_k(logits, k=top_k, generator=generator)


def _tick(tokens: list[int]) -> None:
    tick(f"generated {len(tokens)} tokens")


def _check_arguments(
    *,
    device: str,
    prompt: str | None,
    prompt_tokens: str | None,
    max_tokens: int,
    top_k: int | None,
) -> None:
    """What can be said without the model; ValueError names the rule and the value."""
    check_device(device)
    for name, value in (("max_tokens", max_tokens), ("top-k", top_k)):
        check_least(name, value, 1)
    if prompt is not None and prompt_tokens is not None:
        raise ValueError("give either --prompt or --prompt-tokens, not both")
    if prompt_tokens is not None:
        parse_tokens(prompt_tokens)


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


def _prompt(
    model: NamedModel, text: str | None, numbers: str | None
) -> tuple[list[int], TextTokenizer | None]:
    """Tokens to start with, and the tokenizer if there is one."""
    try:
        tokenizer = TextTokenizer(model.tokenizer_json)
    except TokenizerMissing:
        if text is not None:
            raise
        tokenizer = None
    if numbers is not None:
        return parse_tokens(numbers), tokenizer
    if tokenizer is None:
        return [model.limits.model.bos_token], None
    return tokenizer.encode(DEFAULT_PROMPT if text is None else text), tokenizer


def run_command(
    model: ModelArgument = None,
    device: DeviceOption = "sim",
    config: Annotated[str | None, image_config_option(DEFAULT_CONFIG)] = None,
    prompt: Annotated[
        str | None, typer.Option(help=f"Text to continue; {DEFAULT_PROMPT!r} if left out.")
    ] = None,
    prompt_tokens: Annotated[str | None, typer.Option(help="Token numbers, like 1,2,3.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens to generate at most.")] = 128,
    bandwidth_gbps: BandwidthOption = None,
    clock_mhz: ClockOption = 250.0,
    chunk: Annotated[
        int | None,
        typer.Option(help="Prompt tokens per chunk; as few equal chunks as possible, if left out."),
    ] = None,
    stalls: StallsOption = 0.0,
    latency_cycles: LatencyOption = 32,
    seed: Annotated[int, seed_option("stalls and sampling")] = 0,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k best tokens.")] = None,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate text on a device, compare every token with the golden model, report cycles and DRAM
    bytes.

    Exit code 1 if a token differs from the golden model.
    """
    throttle = Throttle(
        bandwidth_gbps=bandwidth_gbps,
        clock_mhz=clock_mhz,
        stalls=stalls,
        latency_cycles=latency_cycles,
        seed=seed,
    )
    _check_arguments(
        device=device,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        top_k=top_k,
    )
    check_timeline(trace, device)
    found = find_model(model, config)
    if trace is not None and model is not None:
        check_apart(trace, model_files(model) if model.is_dir() else [model], "the timeline")
    tokens, tokenizer = _prompt(found, prompt, prompt_tokens)
    _check_only_step(found.step, found.limits, tokens, max_tokens, chunk)
    found.limits.check_generation(tokens, max_tokens, chunk=chunk)
    loaded = found.load(log)
    stream = TextStream(tokenizer, tokens)
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
    )
    report = {"text": stream.text(report["tokens"]), **report, "warnings": loaded.warnings}
    if as_json:
        print_json(report)
    else:
        stream.finish()
        print_table(report)
    if trace is not None:
        log(f"wrote the timeline {trace}")
    if not report["matches_golden"]:
        say(f"meadow: differs from the golden model at {report['first_difference']}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)
