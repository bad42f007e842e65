# SPDX-License-Identifier: Apache-2.0
"""The renderer of chat templates: what a template may use, and that none gets out of its bounds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware import template_renderer

TALK = [{"role": role, "content": f"{role}?"} for role in ("system", "user", "assistant", "user")]


def answer(source: str, **change: Any) -> dict[str, str]:
    """What the program says of a template, run by its path as the driver does."""
    request = {
        "template": source,
        "variables": {"messages": TALK, "bos_token": "<s>"},
        "output_characters": 1000,
        "cpu_seconds": 5,
        "memory_bytes": 256 << 20,
    }
    done = subprocess.run(
        [sys.executable, "-I", str(Path(template_renderer.__file__))],
        input=json.dumps(request | change).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


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
    assert answer(source) == {"text": expected}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Roles must\n alternate') }}", "refuses .*: Roles must\n alternate$"),
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
def test_a_template_that_misbehaves_is_told_why(source: str, reason: str) -> None:
    found = answer(source)
    assert list(found) == ["error"] and re.search(reason, found["error"]), found


def test_the_bounds_are_those_of_the_request() -> None:
    assert answer("{{ 'x' * 1000 }}") == {"text": "x" * 1000}
    assert "error" in answer("{{ 'x' * 1000 }}", output_characters=999)
    assert answer("{{ ('x' * 3999999) | length }}") == {"text": "3999999"}
    assert "64 MiB" in answer("{{ ('x' * 99999999) | length }}", memory_bytes=64 << 20)["error"]
