# SPDX-License-Identifier: Apache-2.0
"""Chat templates: what they may use, and that none gets out of its bounds."""

from __future__ import annotations

import re
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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}|{{ eos_token }}|{{ absent }}", "<s>||"),
        ("{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}x{% endfor %}", "xx"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}x{% endfor %}", "xxx"),
        ("{% generation %}a{{ messages | length }}{% endgeneration %}b", "a4b"),
        ("{{ {'é': '<a>'} | tojson }}", '{"é": "<a>"}'),
        ("{{ messages[1].content is string and messages is iterable }}", "True"),
        ("{% set ns = namespace(n=0) %}{% set ns.n = 3 %}{{ ns.n }}", "3"),
        ("{% if x %}\na\n{% endif %}\n  {% if not x %}\nb\n{% endif %}", "b\n"),
        ("{{ strftime_now('%Y') | length }}", "4"),
    ],
)
def test_templates_have_what_they_expect(source: str, expected: str) -> None:
    assert rendered(source, special_tokens={"bos_token": "<s>"}) == expected


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Roles must\n alternate') }}", "refuses .*: Roles must alternate$"),
        ("a\n{% for %}", "its line 2 is not understood: "),
        ("{{ ''.__class__.__mro__ }}", "what the sandbox forbids: access to attribute '__class__'"),
        ("{{ messages.append(1) }}", "what the sandbox forbids: "),
        ("{{ messages.pop() }}", "what the sandbox forbids: "),
        ("{{ range(999999999) | list }}", "OverflowError: Range too big"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero$"),
        ("{{ messages[9].content.x }}", "UndefinedError: "),
        ("{% include 'secret' %}", "TypeError: no loader for this environment"),
        ("{{ 'x' * 2000 }}", "its text is longer than 1000 characters$"),
        ("{% for i in range(9999) %}{{ i }}{% endfor %}", "longer than 1000 characters$"),
        ("{{ 'x' * 9999999999 }}", "it needs more than 256 MiB$"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply$|RecursionError"),
        ("{{ '\x1b[31m' * x }}\x1b{% bad %}", "its line 1 is not understood: .*'bad'"),
    ],
)
def test_a_template_that_misbehaves_is_one_line(source: str, reason: str) -> None:
    with pytest.raises(ChatTemplateError) as said:
        rendered(source, output_characters=1000, memory_bytes=256 << 20)
    message = str(said.value)
    assert message.startswith("the chat template cannot be used: ") and message.isprintable()
    assert re.search(reason, message), message


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
