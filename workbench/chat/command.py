# SPDX-License-Identifier: Apache-2.0
"""`meadow chat`: a conversation with a model on a device."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from firmware.session import Session
from firmware.tokenizer import TextTokenizer
from meadow.atomic_write import check_apart
from meadow.spec.checks import check_least
from workbench.chat.lines import StopRequest, user_lines
from workbench.chat.script import script_for
from workbench.chat.talk import INTERRUPTED, Talk
from workbench.configurations.chosen import ChosenConfig
from workbench.console import EXIT_DIFFERENCE, print_json, printable, say
from workbench.devices import LABELS, Throttle, check_device, check_timeline, open_device
from workbench.models.compile_model import input_files
from workbench.models.named import DEFAULT_CONFIG, NamedModel, find_model
from workbench.options import (
    UNTHROTTLED,
    ChunkOption,
    DeviceOption,
    JsonOption,
    MaxTokensOption,
    ModelArgument,
    TopKOption,
    TraceOption,
    seed_option,
    takes_config,
    takes_throttle,
)
from workbench.progress import log, settle, tick
from workbench.run.reference import reference_for
from workbench.run.sampler import make_sampler

__all__ = ["chat_command"]

_PROBE = "Hello"


@takes_throttle
@takes_config(DEFAULT_CONFIG, image=True)
def chat_command(
    model: ModelArgument = None,
    device: DeviceOption = "sim",
    *,
    config: ChosenConfig | None,
    max_tokens: MaxTokensOption = 256,
    throttle: Throttle = UNTHROTTLED,
    chunk: ChunkOption = None,
    seed: Annotated[int, seed_option("stalls and sampling")] = 0,
    top_k: TopKOption = None,
    check: Annotated[
        bool | None,
        typer.Option(help="Compare every token with the bit-true model; on sim only, if left out."),
    ] = None,
    trace: TraceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk to a model: a line is a turn, answered token by token; what was said stays in the
    device's KV cache.

    Ctrl-C ends an answer, Ctrl-D leaves. Without a terminal the lines are read from standard input.
    A model without a chat template continues what is typed as plain text. Exit code 1 if a token
    differs from the golden model.
    """
    check_device(device)
    check_least("max_tokens", max_tokens, 1)
    check_least("top-k", top_k, 1)
    check_timeline(trace, device)
    found = find_model(model, config)
    if trace is not None:
        check_apart(trace, input_files(model), "the timeline")
    tokenizer = _tokenizer(found, max_tokens, chunk)
    loaded = found.load(log)
    manifest = loaded.image.manifest
    compared = device == "sim" if check is None else check
    with open_device(
        device,
        manifest.config,
        Session.window_bytes(loaded.image),
        throttle,
        log,
        timeline=trace,
        labels=manifest.labels,
    ) as opened:
        talk = Talk(
            session=Session(opened, loaded.image),
            tokenizer=tokenizer,
            script=script_for(tokenizer, found.template),
            reference=reference_for(loaded) if compared else None,
            max_tokens=max_tokens,
            sampler=make_sampler(top_k, seed),
            chunk=chunk,
            throttle=throttle,
            told=_tell,
            log=log,
        )
        if found.template is None:
            _tell("the model has no chat template: what is typed is continued as plain text")
        turns = _converse(talk, device, quiet=as_json)
    differences = [turn["first_difference"] for turn in turns if turn["first_difference"]]
    if as_json:
        print_json(
            {
                "turns": turns,
                "device": device,
                "config": manifest.config_name,
                "contract_hash": manifest.contract_hash,
                "parameters": manifest.config.to_dict(),
                "clock_mhz": throttle.clock_mhz,
                "matches_golden": not differences if compared else None,
                "label": LABELS[device],
                "chat_template": found.template is not None,
                "context": manifest.context,
                "prefix": list(manifest.prefix),
                "bandwidth_gbps": throttle.bandwidth_gbps,
                "dram_limit": throttle.limit_text,
                "stalls": throttle.stalls,
                "seed": seed,
                "warnings": loaded.warnings,
            }
        )
    if trace is not None:
        log(f"wrote the timeline {trace}")
    if differences:
        say(f"meadow: differs from the golden model at {differences[0]}", err=True)
        raise typer.Exit(EXIT_DIFFERENCE)


def _tell(line: str) -> None:
    say(f"meadow: {line}", err=True)


def _tokenizer(model: NamedModel, max_tokens: int, chunk: int | None) -> TextTokenizer:
    """The model's tokenizer, once a first turn is known to be possible: before anything slow.

    ValueError for a model that cannot chat, and for a template that cannot be used.
    """
    if not model.tokenizer_json:
        raise ValueError(
            "a chat needs a tokenizer, which this model does not have: meadow run takes token "
            "numbers (--prompt-tokens)"
        )
    if model.step is not None:
        position, tokens = model.step
        raise ValueError(
            f"this image was compiled for one step of {tokens} tokens from position {position} on: "
            "a chat needs a model that is compiled for any step"
        )
    tokenizer = TextTokenizer(model.tokenizer_json)
    first = script_for(tokenizer, model.template).tokens(_PROBE)
    model.limits.check_generation(first, max_tokens, chunk=chunk)
    return tokenizer


def _converse(talk: Talk, device: str, *, quiet: bool) -> list[dict[str, Any]]:
    """All turns, until the user leaves; a line that does not fit ends a chat only where nobody can
    type another.
    """
    turns: list[dict[str, Any]] = []
    try:
        for line in user_lines(quiet=quiet):
            try:
                turns.append(_turn(talk, line, quiet=quiet))
            except ValueError as error:
                if not sys.stdin.isatty():
                    raise
                _tell(printable(str(error)))
                continue
            say(_figures(turns[-1], device, talk.throttle), err=True)
    except KeyboardInterrupt:
        settle()
        say(err=True)
        _tell("left in the middle of an answer")
    return turns


def _turn(talk: Talk, line: str, *, quiet: bool) -> dict[str, Any]:
    """One answer, on standard output while it comes unless that is for JSON."""
    count = 0

    def show(piece: str) -> None:
        nonlocal count
        count += 1
        if quiet:
            tick(f"answering, {count} tokens")
        elif piece:
            say(piece, nl=False)

    with StopRequest() as stop:
        turn = talk.answer(line, show=show, stopped=lambda: stop.asked)
    if not quiet:
        say()
    return turn


def _figures(turn: dict[str, Any], device: str, throttle: Throttle) -> str:
    """What was measured of a turn, in a line."""
    parts = [f"{len(turn['tokens'])} tokens behind {turn['prompt_tokens']} new ones"]
    if turn["cached_tokens"]:
        parts.append(f"{turn['cached_tokens']} from the cache")
    if turn["cycles"]:
        parts.append(f"{turn['cycles']:,} cycles")
    if turn["tokens_per_second"] is not None:
        rate = f"{turn['tokens_per_second']:,.1f} tokens per second"
        parts.append(f"{rate} at {throttle.clock_mhz:g} MHz, {throttle.limit_text}")
    if turn["matches_golden"]:
        parts.append("every token equal to golden")
    if turn["ended"] == INTERRUPTED:
        parts.append(INTERRUPTED)
    return f"[{'; '.join(parts)}; {LABELS[device]}]"
