# SPDX-License-Identifier: Apache-2.0
"""Turns on a golden device: reused, counted, compared, ended in every way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firmware.golden_device import GoldenDevice
from firmware.image import read_image
from firmware.session import Sampler, Session
from firmware.tokenizer import TextTokenizer
from meadow.model.image import Image
from workbench.chat.script import Script, script_for
from workbench.chat.talk import CONTEXT_FULL, END_TOKEN, INTERRUPTED, MAX_TOKENS, Talk
from workbench.devices import Throttle
from workbench.models.cached import Loaded
from workbench.models.named import find_model
from workbench.run.reference import Reference, reference_for

Make = Callable[..., Talk]


@pytest.fixture(scope="module")
def image(chatting_image: Path) -> Image:
    return read_image(chatting_image)


@pytest.fixture
def make(image: Image, chatting_image: Path) -> Make:
    def made(
        *, max_tokens: int = 5, sampler: Sampler | None = None, reference: Reference | None = None
    ) -> Talk:
        tokenizer = TextTokenizer(image)
        device = GoldenDevice(image.manifest.config, Session.window_bytes(image))
        told: list[str] = []
        talk = Talk(
            session=Session(device, image),
            tokenizer=tokenizer,
            script=script_for(tokenizer, find_model(chatting_image, None).template),
            reference=reference_for(Loaded(image, None)) if reference is None else reference,
            max_tokens=max_tokens,
            sampler=sampler,
            chunk=None,
            throttle=Throttle(),
            told=told.append,
            log=lambda text: None,
        )
        talk.lines = told  # pyright: ignore[reportAttributeAccessIssue]
        return talk

    return made


def spoken(talk: Talk, line: str, stopped: Callable[[], bool] = lambda: False) -> dict:
    pieces: list[str] = []
    turn = talk.answer(line, show=pieces.append, stopped=stopped)
    assert "".join(pieces) == turn["text"]
    return turn


def alone(make: Make, script: Script, line: str, count: int) -> list[int]:
    """What a new session makes of the whole conversation."""
    talk = make()
    return list(talk.session.generate(script.tokens(line), count))


def test_turns_reuse_the_cache_and_equal_golden(make: Make) -> None:
    talk = make()
    for index, line in enumerate(("abc", "de")):
        expected = alone(make, talk.script, line, 5)
        whole = talk.script.tokens(line)
        turn = spoken(talk, line)
        assert turn["tokens"] == expected and turn["user"] == line
        assert turn["ended"] in (MAX_TOKENS, END_TOKEN)
        assert turn["matches_golden"] is True and turn["first_difference"] is None
        assert turn["cached_tokens"] + turn["prompt_tokens"] == len(whole)
        assert turn["decode"]["tokens"] == len(turn["tokens"]) - 1
        if index:
            # The first turn and what its answer has in common with how it is encoded again.
            assert turn["cached_tokens"] >= len("user abc!assistant ")


def test_a_difference_is_told_once(make: Make) -> None:
    class Wrong:
        name = "wrong"

        def follow(self, tokens: list[int]) -> np.ndarray:
            return np.zeros(71, np.int16)

        def rewind(self, position: int) -> None:
            assert position == 0

    turn = spoken(make(reference=Wrong()), "abc")
    assert turn["matches_golden"] is False
    assert turn["first_difference"].startswith("generated token 0: arg-max is token")


def test_an_end_token_ends_an_answer_and_is_not_shown(make: Make) -> None:
    tokens = iter([5, 6, 2, 7])
    talk = make(sampler=lambda logits: next(tokens))
    turn = spoken(talk, "abc")
    assert (turn["tokens"], turn["text"], turn["ended"]) == ([5, 6, 2], "cd", END_TOKEN)
    assert talk.script.tokens("x") == talk.tokenizer.encode_templated(
        "user abc!assistant cd!user x!assistant "
    )


def test_a_request_ends_an_answer_behind_its_token(make: Make) -> None:
    talk, asked = make(max_tokens=20, sampler=lambda logits: 9), iter([False, False, True])
    turn = spoken(talk, "abc", stopped=lambda: next(asked))
    assert (turn["tokens"], turn["ended"]) == ([9, 9, 9], INTERRUPTED)
    turn = spoken(talk, "d")
    # All but the last of the tokens was taken in, and the template goes on behind them.
    assert turn["cached_tokens"] == len("user abc!assistant ") + 2
    assert turn["matches_golden"] is True


def test_a_full_context_is_told_and_then_forgotten(make: Make) -> None:
    talk = make(max_tokens=99, sampler=lambda logits: 9)
    turn = spoken(talk, "abc")
    assert turn["ended"] == CONTEXT_FULL
    assert turn["cached_tokens"] + turn["prompt_tokens"] + len(turn["tokens"]) == 64 + 1
    lines = talk.lines  # pyright: ignore[reportAttributeAccessIssue]
    assert lines == ["the context of 64 tokens is full: the answer ends here"]
    turn = spoken(talk, "de")
    assert lines[1].startswith("the conversation has 84 tokens, the context of this image holds 64")
    assert lines[1].endswith("what was said before is forgotten")
    assert turn["matches_golden"] is True
    with pytest.raises(ValueError, match="the prompt has 78 tokens, the context of this image"):
        talk.answer("x" * 62, show=lambda piece: None, stopped=lambda: False)
