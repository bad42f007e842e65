# SPDX-License-Identifier: Apache-2.0
"""Renders one chat template: a program of its own, whose process has bounds.

A template is a program of strangers. Jinja's sandbox keeps it from Python, but not from running for
ever or from filling the memory: the operating system ends a process that does. Standard input is a
JSON object with `template`, `variables`, `output_characters`, `cpu_seconds` and `memory_bytes`;
standard output is one with `text`, or with `error`, a sentence.

It imports nothing of this project, so that it runs by its path, without anybody's module path.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["main"]


class _Refused(TemplateError):
    """What a template says by `raise_exception`."""


class _TooLong(Exception):
    """More text than asked for."""


class _Generation(Extension):
    """`{% generation %}`, with which templates mark what the model says: the text inside it."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as templates of chat models expect it."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )

    def raise_exception(message: object) -> None:
        raise _Refused(str(message))

    def to_json(value: object, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=False, **options)

    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda pattern: datetime.now().strftime(pattern)
    environment.filters["tojson"] = to_json
    return environment


def _render(request: Mapping[str, Any]) -> str:
    limit, parts, size = request["output_characters"], [], 0
    template = _environment().from_string(request["template"])
    for part in template.generate(**request["variables"]):
        size += len(part)
        if size > limit:
            raise _TooLong
        parts.append(part)
    return "".join(parts)


def _answer(request: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {"text": _render(request)}
    except _Refused as error:
        return {"error": f"it refuses this conversation: {error}"}
    except TemplateSyntaxError as error:
        return {"error": f"its line {error.lineno} is not understood: {error.message}"}
    except SecurityError as error:
        return {"error": f"it does what the sandbox forbids: {error}"}
    except _TooLong:
        return {"error": f"its text is longer than {request['output_characters']} characters"}
    except MemoryError:
        return {"error": f"it needs more than {request['memory_bytes'] >> 20} MiB"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except Exception as error:  # whatever a template's own operations raise
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Read the request, take the bounds, answer."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds, memory = request["cpu_seconds"], request["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    json.dump(_answer(request), sys.stdout)


if __name__ == "__main__":
    main()
