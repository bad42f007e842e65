# SPDX-License-Identifier: Apache-2.0
"""Chat templates: what they may use, and that none gets out of its bounds."""

from __future__ import annotations

import subprocess
import time

import pytest

from firmware.chat_template import ChatTemplate, ChatTemplateError

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <|end|> {{ 7 * 6 }}"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Why?"},
]
CHATML = """
{%- for message in messages %}
    {{- '<|start|>' + message['role'] + '\\n' + message['content'] | trim + '<|end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n' }}
{%- endif %}"""


def rendered(source: str, **options: object) -> str:
    return ChatTemplate(source=source, **options).render(TALK)  # pyright: ignore[reportArgumentType]


def test_a_conversation_is_rendered_up_to_the_answer() -> None:
    template = ChatTemplate(source=CHATML)
    expected = (
        "<|start|>system\nBe brief.<|end|>\n<|start|>user\nHi <|end|> {{ 7 * 6 }}<|end|>\n"
        "<|start|>assistant\nHello.<|end|>\n<|start|>user\nWhy?<|end|>\n"
    )
    # A message is text, whatever it looks like: nothing in it is evaluated.
    assert template.render(TALK) == expected + "<|start|>assistant\n"
    assert template.render(TALK, add_generation_prompt=False) == expected


def test_the_renderer_does_not_hear_the_ctrl_c_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is of a session of its own, which the terminal's signals do not reach."""
    asked = []
    run = subprocess.run

    def watched(*arguments: object, **options: object) -> object:
        asked.append(options["start_new_session"])
        return run(*arguments, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    assert rendered("{{ messages[0].content }}") == "Be brief." and asked == [True]


def test_special_tokens_are_known_by_name() -> None:
    tokens = {"bos_token": "<s>"}
    assert rendered("{{ bos_token }}|{{ eos_token }}", special_tokens=tokens) == "<s>|"


def test_what_a_template_says_is_one_line_that_can_be_printed() -> None:
    with pytest.raises(ChatTemplateError) as said:
        rendered("{{ raise_exception('Roles\x1b[31m must\n alternate' ~ 'x' * 999) }}")
    message = str(said.value)
    assert message.startswith(
        "the chat template cannot be used: it refuses this conversation: Roles?[31m must alternatex"
    )
    assert message.isprintable() and len(message) < 300


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set x = 9 ** (9 ** 9) %}",
    ],
)
def test_a_template_that_never_ends_is_ended(source: str) -> None:
    start = time.monotonic()
    with pytest.raises(ChatTemplateError, match=r"it takes longer than (1 seconds of|2 seconds)"):
        rendered(source, seconds=1)
    assert time.monotonic() - start < 10
