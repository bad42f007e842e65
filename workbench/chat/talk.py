# SPDX-License-Identifier: Apache-2.0
"""A chat on one sequence of a session: each line answered, measured and compared with golden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware.conversation import Conversation, Turn
from firmware.session import Sampler, Session
from firmware.tokenizer import TextTokenizer
from workbench.chat.script import Script
from workbench.devices import Throttle
from workbench.run.measure import phase_report
from workbench.run.reference import Reference, difference
from workbench.run.text_stream import GrowingText

__all__ = ["CONTEXT_FULL", "END_TOKEN", "INTERRUPTED", "MAX_TOKENS", "Talk"]

END_TOKEN = "end token"
MAX_TOKENS = "max tokens"
CONTEXT_FULL = "context full"
INTERRUPTED = "interrupted"


@dataclass(kw_only=True)
class Talk:
    """What a chat is made of.

    session: its sequence 0 is the chat's; reference: golden to compare with, None for no
    comparison; max_tokens: of an answer; sampler, chunk: see `Session.generate`; throttle: what the
    figures of the report refer to; told: is given what a user must know, in a line; log: what
    begins now.
    """

    session: Session
    tokenizer: TextTokenizer
    script: Script
    reference: Reference | None
    max_tokens: int
    sampler: Sampler | None
    chunk: int | None
    throttle: Throttle
    told: Callable[[str], None]
    log: Callable[[str], None]

    def __post_init__(self) -> None:
        self._conversation = Conversation(self.session)

    def answer(
        self, line: str, *, show: Callable[[str], None], stopped: Callable[[], bool]
    ) -> dict[str, Any]:
        """Answer a line of the user; the turn's part of the report.

        show: is given the text piece by piece; stopped: whether the answer shall end behind this
        token. ValueError for a line that does not fit an empty context, and what template, session
        and golden raise.
        """
        session = self.session
        turn, tokens = self._turn(line)
        session.clear_phases()
        self.log(f"taking in {len(turn.fresh)} tokens")
        if self.reference is not None:
            self.reference.rewind(turn.position)
        growing = GrowingText(self.tokenizer.decode, self.script.begins(tokens))
        ends = session.manifest.end_tokens
        pending, first_difference, ended = turn.pending, None, None
        for token in self._conversation.generate(
            turn, self.max_tokens, sampler=self.sampler, chunk=self.chunk
        ):
            if self.reference is not None:
                assert session.last is not None
                found = difference(session.last, self.reference.follow(pending))
                if found is not None and first_difference is None:
                    first_difference = f"generated token {len(turn.generated) - 1}: {found}"
            pending = [token]
            if token in ends:
                ended = END_TOKEN
                break
            show(growing.push(token))
            if stopped():
                ended = INTERRUPTED
                break
        show(growing.finish())
        if ended is None:
            full = session.positions[0] >= session.manifest.context
            ended = CONTEXT_FULL if full else MAX_TOKENS
        if ended == CONTEXT_FULL:
            self.told(
                f"the context of {session.manifest.context} tokens is full: the answer ends here"
            )
        text = growing.generated()
        self.script.said(line, text, ended=ended == END_TOKEN)
        report = {"user": line, "text": text, "tokens": turn.generated, "ended": ended}
        compared = None if self.reference is None else first_difference is None
        report |= self._figures(turn.position)
        return report | {"matches_golden": compared, "first_difference": first_difference}

    def _turn(self, line: str) -> tuple[Turn, list[int]]:
        """What is to be done for a line, and the tokens of the conversation; what was said before
        is forgotten if it does not fit with it.
        """
        manifest = self.session.manifest
        tokens = self.script.tokens(line)
        count = manifest.limits.start + len(manifest.limits.own_tokens(tokens))
        if count > manifest.context and not self.script.empty:
            self.told(
                f"the conversation has {count} tokens, the context of this image holds "
                f"{manifest.context}: what was said before is forgotten"
            )
            self.script.forget()
            tokens = self.script.tokens(line)
        turn = self._conversation.turn(tokens, max_tokens=self.max_tokens, chunk=self.chunk)
        return turn, tokens

    def _figures(self, position: int) -> dict[str, Any]:
        """Measured of the turn, which began behind `position` cached tokens."""
        manifest, phases = self.session.manifest, self.session.phases
        rate, clock = self.throttle.bytes_per_cycle, self.throttle.clock_mhz
        taken, steps = phases["prefill"].tokens, phases["decode"].steps
        prefill, decode = (
            phase_report(
                manifest, phases[name], first=first, head_rows=rows, rate=rate, clock_mhz=clock
            )
            for name, first, rows in (
                ("prefill", position, 1),
                ("decode", position + taken, steps),
            )
        )
        return {
            "cached_tokens": position,
            "prompt_tokens": taken,
            "cycles": prefill["cycles"] + decode["cycles"],
            "tokens_per_second": decode["tokens_per_second"],
            "prefill": prefill,
            "decode": decode,
        }
