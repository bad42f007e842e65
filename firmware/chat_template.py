# SPDX-License-Identifier: Apache-2.0
"""Conversations as the text that a chat model was trained on; needs the package `jinja2`.

What surrounds a message stands in the model's chat template, a Jinja program. It runs in a process
of its own (`template_renderer.py`), sandboxed and bounded in time, memory and length of text.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ChatTemplate", "ChatTemplateError", "Message"]

Message = Mapping[str, str]
"""`role` ("system", "user", "assistant") and `content`."""

_RENDERER = Path(__file__).with_name("template_renderer.py")
_SHOWN_CHARACTERS = 200


class ChatTemplateError(ValueError):
    """A template cannot render a conversation; the message says why in one line."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A model's template and the bounds it runs in.

    Parameters
    ----------
    source : the template.
    special_tokens : texts of special tokens that templates name, such as ``bos_token`` and
        ``eos_token``.
    output_characters : of a rendered conversation at most.
    seconds : of processor time at most; twice as long by the clock.
    memory_bytes : of the renderer's process at most.
    """

    source: str
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    output_characters: int = 1 << 20
    seconds: int = 5
    memory_bytes: int = 1 << 30

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The text of a conversation, by default up to where the model's answer begins.

        It holds the special tokens: it is encoded without adding any. ChatTemplateError if the
        template refuses, fails, or breaks a bound.
        """
        variables = {
            **self.special_tokens,
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
        }
        request = {
            "template": self.source,
            "variables": variables,
            "output_characters": self.output_characters,
            "cpu_seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
        }
        answer = self._answer(json.dumps(request))
        if "text" not in answer:
            reason = " ".join(answer["error"].split())[:_SHOWN_CHARACTERS]
            shown = "".join(character if character.isprintable() else "?" for character in reason)
            raise ChatTemplateError(f"the chat template cannot be used: {shown}")
        return answer["text"]

    def _answer(self, request: str) -> dict[str, str]:
        # Isolated: neither the current folder nor the user's paths are searched for modules.
        command = [sys.executable, "-I", str(_RENDERER)]
        try:
            # Of its own session: the Ctrl-C that ends an answer is not for the renderer.
            done = subprocess.run(
                command,
                input=request.encode(),
                capture_output=True,
                timeout=2 * self.seconds,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return {"error": f"it takes longer than {2 * self.seconds} seconds"}
        if done.returncode < 0:
            return {"error": f"it takes longer than {self.seconds} seconds of processor time"}
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
            if lines[-1].startswith("ModuleNotFoundError"):
                return {"error": "it needs the package jinja2: pip install jinja2"}
            return {"error": lines[-1]}
        return json.loads(done.stdout)
