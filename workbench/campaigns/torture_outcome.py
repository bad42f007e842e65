# SPDX-License-Identifier: Apache-2.0
"""What a fault came to, and the errors that are not the ones it must have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from meadow.spec.registers import ErrorCode
from workbench.campaigns.torture_scene import Ended, SilentError

__all__ = ["Outcome", "expect", "expect_right"]


@dataclass(frozen=True)
class Outcome:
    """What a fault came to.

    verdict: "reported" (an error), "obeyed" (a spoiled program that is legal), "refused" (by a
    register), "right" (the result is), "stopped" (by a reset), "missed" (the program was over: no
    fault). code: of the error.
    memory: what the window must be: "right" (as golden leaves it), "partial" (each byte as before
    or as golden leaves it) or "free".
    """

    verdict: str
    code: ErrorCode = ErrorCode.NONE
    memory: str = "partial"


def expect(ended: Ended, code: ErrorCode, commands: Sequence[int] | None, what: str) -> Outcome:
    """SilentError unless a program ended with this error at one of these commands."""
    if ended.done:
        raise SilentError(f"{what} was not reported")
    if ended.code != code:
        raise SilentError(f"{what} was reported as {ended.code.name} at command {ended.command}")
    if commands is not None and ended.command not in commands:
        raise SilentError(
            f"{what}: {code.name} names command {ended.command}, not {_short(commands)}"
        )
    return Outcome("reported", code)


def expect_right(ended: Ended, what: str) -> Outcome:
    """SilentError if a program ended with an error that has no reason to."""
    if not ended.done:
        raise SilentError(f"{what} gave {ended.code.name} at command {ended.command}")
    return Outcome("right", memory="right")


def _short(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, numbers[:4]))
    return named + (" .." if len(numbers) > 4 else "")
