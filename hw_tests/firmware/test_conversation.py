# SPDX-License-Identifier: Apache-2.0
"""A conversation computes only what its cache does not have, and what a new session would."""

from __future__ import annotations

import numpy as np
import pytest

from firmware.conversation import Conversation
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.spec.config import CONFIGURATIONS

TINY = CONFIGURATIONS["tiny"]
PREFIX = (7, 3)


def compiled(prefix: tuple[int, ...]) -> Image:
    model = synthetic_model(
        opt_description(hidden=96, vocabulary=100, eos_token=99), seed=salted(0), prefix=prefix
    )
    return compile_image(model, TINY, config_name="tiny", tokenizer_json=b"", end_tokens=(98,))


IMAGES = {prefix: compiled(prefix) for prefix in ((), PREFIX)}
BOTH = pytest.mark.parametrize("prefix", IMAGES)


def session_of(prefix: tuple[int, ...]) -> Session:
    image = IMAGES[prefix]
    return Session(GoldenDevice(TINY, Session.window_bytes(image)), image)


def drawn(count: int, seed: int) -> list[int]:
    return np.random.default_rng(salted(seed)).integers(10, 90, count).tolist()


def anew(prefix: tuple[int, ...], text: list[int], count: int) -> list[int]:
    return list(session_of(prefix).generate(text, count, end_tokens=()))


@BOTH
@pytest.mark.parametrize("opens", [True, False])
def test_what_the_cache_has_is_not_computed_again(prefix: tuple[int, ...], opens: bool) -> None:
    """Whether the text begins with the prefix or not."""
    start = len(prefix)
    session = session_of(prefix)
    conversation = Conversation(session)
    assert conversation.tokens == list(prefix)
    text = [*(prefix if opens else ()), *drawn(6, 1)]
    turn = conversation.turn(text, max_tokens=4)
    assert turn.position == start
    answer = list(conversation.generate(turn, 4, end_tokens=()))
    assert answer == turn.generated == anew(prefix, text, 4)
    assert conversation.tokens == [*prefix, *drawn(6, 1), *answer[:3]]
    assert session.phases["prefill"].tokens == 6
    # The text goes on behind the answer: of the cache all is kept.
    longer = [*text, *answer, *drawn(3, 2)]
    turn = conversation.turn(longer, max_tokens=4)
    assert (turn.position, turn.pending) == (start + 9, longer[-4:])
    assert list(conversation.generate(turn, 4, end_tokens=())) == anew(prefix, longer, 4)
    assert session.phases["prefill"].tokens == 6 + 4
    # It was written otherwise: what differs is computed again, and what is behind it.
    other = [*text, *answer[:1], 5, *drawn(3, 2)]
    turn = conversation.turn(other, max_tokens=2)
    assert turn.position == start + (7 if answer[1] != 5 else 8)
    assert list(conversation.generate(turn, 2, end_tokens=())) == anew(prefix, other, 2)


@BOTH
def test_the_last_token_is_always_run(prefix: tuple[int, ...]) -> None:
    session = session_of(prefix)
    conversation = Conversation(session)
    text = drawn(6, 1)
    first = list(conversation.generate(conversation.turn(text, max_tokens=3), 3, end_tokens=()))
    turn = conversation.turn(text, max_tokens=3)
    assert (turn.position, turn.pending) == (len(prefix) + 5, text[-1:])
    assert list(conversation.generate(turn, 3, end_tokens=())) == first
    shorter = conversation.turn(text[:1], max_tokens=3)
    assert shorter.position == len(prefix)
    assert list(conversation.generate(shorter, 3, end_tokens=())) == anew(prefix, text[:1], 3)


def test_a_text_that_repeats_the_prefix_loses_it_once() -> None:
    conversation = Conversation(session_of(PREFIX))
    text = [*PREFIX, *PREFIX, 50]
    turn = conversation.turn(text, max_tokens=2)
    assert list(conversation.generate(turn, 2, end_tokens=())) == anew(PREFIX, text, 2)
    assert conversation.tokens[:5] == text


@BOTH
def test_an_answer_may_be_given_up(prefix: tuple[int, ...]) -> None:
    conversation = Conversation(session_of(prefix))
    text = drawn(6, 3)
    answer = []
    for token in conversation.generate(conversation.turn(text, max_tokens=9), 9, end_tokens=()):
        answer.append(token)
        if len(answer) == 3:
            break
    assert conversation.tokens == [*prefix, *text, *answer[:2]]
    longer = [*text, *answer, *drawn(2, 4)]
    turn = conversation.turn(longer, max_tokens=3)
    assert turn.position == len(prefix) + 8
    assert list(conversation.generate(turn, 3, end_tokens=())) == anew(prefix, longer, 3)


@BOTH
def test_what_does_not_fit_is_refused_and_changes_nothing(prefix: tuple[int, ...]) -> None:
    conversation = Conversation(session_of(prefix))
    list(conversation.generate(conversation.turn(drawn(6, 1), max_tokens=2), 2, end_tokens=()))
    before = conversation.tokens
    room = 64 - len(prefix)
    with pytest.raises(ValueError, match=f"the prompt has {room + 1} tokens, .* holds {room} more"):
        conversation.turn(drawn(room + 1, 2), max_tokens=2)
    with pytest.raises(ValueError, match="a prompt must have at least 1 token"):
        conversation.turn([], max_tokens=2)
    assert conversation.tokens == before


def test_every_end_token_of_the_image_ends_an_answer() -> None:
    session = session_of(())
    assert session.manifest.end_tokens == (99, 98)
    for token in (98, 99):
        session.rewind()
        assert list(session.generate([5], 8, sampler=lambda logits, end=token: end)) == [token]
    session.rewind()
    given = list(session.generate([5], 8, sampler=lambda logits: 98, end_tokens=[4]))
    assert given == [98] * 8
    session.rewind()
    assert list(session.generate([5], 8, sampler=lambda logits: 4, end_tokens={4, 5})) == [4]
