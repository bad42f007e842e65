# SPDX-License-Identifier: Apache-2.0
"""What was said as tokens: by a template, or as one text."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware.chat_template import ChatTemplate, ChatTemplateError
from firmware.tokenizer import TextTokenizer
from workbench.chat.script import PlainScript, TemplateScript, script_for

TEMPLATE = ChatTemplate(
    source="{% for message in messages %}{{ message.role[0] }} {{ message.content }}.{% endfor %}a "
)


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> TextTokenizer:
    return TextTokenizer((checkpoint / "tokenizer.json").read_bytes())


def test_the_template_writes_all_turns_and_nothing_is_added(tokenizer: TextTokenizer) -> None:
    script = script_for(tokenizer, TEMPLATE)
    assert isinstance(script, TemplateScript) and script.empty
    first = script.tokens("hi")
    assert first == tokenizer.encode_templated("u hi.a ")
    assert first[0] != 2  # the opening token of other texts
    script.said("hi", "yes", ended=True)
    assert not script.empty
    assert script.tokens("no") == tokenizer.encode_templated("u hi.a yes.u no.a ")
    assert script.begins(first) == []
    script.forget()
    assert script.empty and script.tokens("hi") == first


def test_plain_text_goes_on_until_the_model_ends_it(tokenizer: TextTokenizer) -> None:
    script = script_for(tokenizer, None)
    assert isinstance(script, PlainScript) and script.empty
    first = script.tokens("once")
    assert first == tokenizer.encode("once") and script.begins(first) == first
    script.said("once", " upon", ended=False)
    assert script.tokens("a") == tokenizer.encode("once upon a")
    script.said("a", " time. ", ended=False)
    assert script.tokens("b") == tokenizer.encode("once upon a time. b")
    script.said("b", "", ended=True)
    assert script.empty and script.tokens("once") == first
    script.said("once", "x", ended=False)
    script.forget()
    assert script.empty


def test_what_a_template_refuses_is_not_said(tokenizer: TextTokenizer) -> None:
    source = "{% if messages|length > 2 %}{{ raise_exception('enough') }}{% endif %}hm"
    script = script_for(tokenizer, ChatTemplate(source=source))
    script.tokens("a")
    script.said("a", "b", ended=True)
    for _ in range(2):
        with pytest.raises(ChatTemplateError, match="it refuses this conversation: enough"):
            script.tokens("c")
