# SPDX-License-Identifier: Apache-2.0
"""What a prompt may be, and the tokens it stands for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from firmware.chat_template import ChatTemplate
from firmware.tokenizer import TokenizerMissing
from workbench.models.named import NamedModel, find_model
from workbench.run.prompt import DEFAULT_PROMPT, Prompt, parse_tokens

NOTHING = Prompt(text=None, numbers=None, chat=None)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> NamedModel:
    return find_model(checkpoint, None)


def test_texts_open_with_the_opening_token_and_a_chat_as_its_template_says(
    model: NamedModel,
) -> None:
    given, tokenizer = NOTHING.tokens(model)
    assert tokenizer is not None and given == tokenizer.encode(DEFAULT_PROMPT) and given[0] == 2
    assert dataclasses.replace(NOTHING, text="ab").tokens(model)[0] == [2, 3, 4]
    assert dataclasses.replace(NOTHING, numbers="7,9").tokens(model)[0] == [7, 9]
    source = "{{ messages[0].role[0] }} {{ messages[0].content }}."
    chats = dataclasses.replace(model, template=ChatTemplate(source=source))
    said, _ = dataclasses.replace(NOTHING, chat="hi").tokens(chats)
    assert said == tokenizer.encode_templated("u hi.")
    with pytest.raises(ValueError, match="the model has no chat template: give --prompt"):
        dataclasses.replace(NOTHING, chat="hi").tokens(model)


def test_without_a_tokenizer_there_are_numbers_only(model: NamedModel) -> None:
    silent = dataclasses.replace(model, tokenizer_json=b"")
    assert NOTHING.tokens(silent) == ([2], None)
    assert dataclasses.replace(NOTHING, numbers="7").tokens(silent) == ([7], None)
    for more in ({"text": "a"}, {"chat": "a"}):
        with pytest.raises(TokenizerMissing, match="the image has no tokenizer"):
            dataclasses.replace(NOTHING, **more).tokens(silent)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": "a", "numbers": "1"}, "give either --prompt or --prompt-tokens, not both"),
        ({"text": "", "chat": ""}, "give either --prompt or --chat, not both"),
        ({"numbers": "1,x"}, "prompt tokens must be numbers like 1,2,3, not '1,x'"),
        ({"numbers": "3,-1"}, "a prompt token must be at least 0, not -1"),
    ],
)
def test_what_is_no_prompt(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NOTHING, **given)
    assert parse_tokens("1,2,3") == [1, 2, 3]
