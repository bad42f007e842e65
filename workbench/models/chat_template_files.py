# SPDX-License-Identifier: Apache-2.0
"""The chat template of a checkpoint: of a directory's chat_template.jinja or tokenizer_config.json,
or of a GGUF file's metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firmware.chat_template import ChatTemplate
from meadow.compiler.importers.checkpoint_folder import (
    CheckpointError,
    file_of,
    read_bytes,
    read_json,
)
from meadow.compiler.importers.gguf_file import is_gguf, open_gguf

__all__ = ["chat_template_files", "read_chat_template"]

_FILE, _SETTINGS = "chat_template.jinja", "tokenizer_config.json"
_KEY = "chat_template"
_ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
_GGUF_ROLES = {
    "bos": "bos_token",
    "eos": "eos_token",
    "unknown": "unk_token",
    "padding": "pad_token",
}


def chat_template_files(source: Path) -> list[Path]:
    """The files that `read_chat_template` reads, as far as they are there; CheckpointError as it
    raises.
    """
    if is_gguf(source):
        return [source]
    found = [file_of(source, name) for name in (_FILE, _SETTINGS)]
    return [path for path in found if path is not None]


def read_chat_template(source: Path) -> ChatTemplate | None:
    """The template, and the texts of the special tokens it may name; None if there is none.

    A template file counts before the one in the settings; of several named ones it is "default".
    CheckpointError for a template that is no text.
    """
    return _of_gguf(source) if is_gguf(source) else _of_directory(source)


def _of_directory(directory: Path) -> ChatTemplate | None:
    settings = read_json(directory, _SETTINGS) or {}
    content = read_bytes(directory, _FILE)
    if content is None:
        text = _named(settings.get(_KEY))
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{_FILE} must be UTF-8 text: {error}") from None
    if text is None:
        return None
    tokens = {role: _content(settings.get(role)) for role in _ROLES}
    return ChatTemplate(
        source=text, special_tokens={role: text for role, text in tokens.items() if text}
    )


def _named(value: Any) -> str | None:
    """The template that counts in `chat_template` of tokenizer_config.json."""
    if isinstance(value, list):
        entries = [entry for entry in value if isinstance(entry, dict)]
        value = next((e.get("template") for e in entries if e.get("name") == "default"), None)
    if value is not None and not isinstance(value, str):
        raise CheckpointError(f"{_KEY} of {_SETTINGS} must be text, not {value!r:.60}")
    return value


def _content(entry: Any) -> str | None:
    """Text of a special token, which is written as a text or as an object with `content`."""
    value = entry.get("content") if isinstance(entry, dict) else entry
    return value if isinstance(value, str) else None


def _of_gguf(path: Path) -> ChatTemplate | None:
    file = open_gguf(path)
    text = file.value(f"tokenizer.{_KEY}")
    if text is None:
        return None
    if not isinstance(text, str):
        raise CheckpointError(f"tokenizer.{_KEY} of {path.name} must be text, not {text!r:.60}")
    tokens = file.value("tokenizer.ggml.tokens")
    found = {}
    for kind, role in _GGUF_ROLES.items():
        number = file.value(f"tokenizer.ggml.{kind}_token_id")
        if isinstance(tokens, list) and isinstance(number, int) and 0 <= number < len(tokens):
            found[role] = tokens[number]
    return ChatTemplate(source=text, special_tokens=found)
