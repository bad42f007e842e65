# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a checkpoint: a directory's tokenizer.json, or one made of vocab.json and
merges.txt, or of a GGUF file's vocabulary.

OPT is published with the two files of GPT-2's byte-level BPE. What opens a text and which tokens
are special stands in tokenizer_config.json, special_tokens_map.json and added_tokens.json, each of
which may be missing; as in transformers the second counts before the first. Without them a text
opens with </s>, as OPT was trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from meadow.compiler.importers.checkpoint_folder import (
    CheckpointError,
    file_of,
    read_bytes,
    read_json,
)
from meadow.compiler.importers.gguf_file import is_gguf
from workbench.models.gguf_tokenizer import gguf_tokenizer

__all__ = ["read_tokenizer", "tokenizer_files"]

_WHOLE = "tokenizer.json"
_VOCABULARY, _MERGES = "vocab.json", "merges.txt"
_SETTINGS, _SPECIAL, _ADDED = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_OPENING = "</s>"
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def tokenizer_files(directory: Path) -> list[Path]:
    """The files that `read_tokenizer` reads, as far as they are there; CheckpointError as it
    raises.
    """
    if is_gguf(directory):
        return [directory]
    whole = file_of(directory, _WHOLE)
    if whole is not None:
        return [whole]
    vocabulary, merges = file_of(directory, _VOCABULARY), file_of(directory, _MERGES)
    if vocabulary is None and merges is None:
        return []
    for path, name, other in (
        (vocabulary, _VOCABULARY, _MERGES),
        (merges, _MERGES, _VOCABULARY),
    ):
        if path is None:
            raise CheckpointError(
                f"{other} must have {name} beside it; there is none in {directory}"
            )
    found = [file_of(directory, name) for name in (_SETTINGS, _SPECIAL, _ADDED)]
    return [path for path in (vocabulary, merges, *found) if path is not None]


def read_tokenizer(directory: Path) -> bytes | None:
    """The bytes of tokenizer.json, or of one that stands for vocab.json and merges.txt; None if
    there is neither. Of a GGUF file: see `gguf_tokenizer`.

    CheckpointError if only one of the two is there, or if the files do not fit each other.
    """
    if is_gguf(directory):
        return gguf_tokenizer(directory)
    files = tokenizer_files(directory)
    if not files:
        return None
    if files[0].name == _WHOLE:
        return read_bytes(directory, _WHOLE)
    vocabulary, merges = _vocabulary(directory), _merges(directory)
    settings = (read_json(directory, _SETTINGS) or {}) | (read_json(directory, _SPECIAL) or {})
    try:
        model = models.BPE(vocabulary, merges)
    except Exception as error:  # the package raises plain Exception
        raise CheckpointError(f"{_VOCABULARY} and {_MERGES} must fit each other: {error}") from None
    tokenizer = Tokenizer(model)
    spaced = settings.get("add_prefix_space") is True
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    tokenizer.decoder = decoders.ByteLevel()
    _add_tokens(tokenizer, settings, read_json(directory, _ADDED) or {})
    if settings.get("add_bos_token") is not False:
        opening = _content(settings.get("bos_token")) or _OPENING
        number = tokenizer.token_to_id(opening)
        if number is None:
            raise CheckpointError(f"{_VOCABULARY} must hold the opening token {opening!r:.40}")
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[opening, "$A"], special_tokens=[(opening, number)]
        )
    return tokenizer.to_str().encode()


def _vocabulary(directory: Path) -> dict[str, int]:
    """vocab.json; CheckpointError unless each token has a number of its own."""
    vocabulary = read_json(directory, _VOCABULARY) or {}
    tokens: dict[int, str] = {}
    for token, number in vocabulary.items():
        if type(number) is not int or not 0 <= number < 1 << 32:
            raise CheckpointError(
                f"a number in {_VOCABULARY} must be whole and in 0..2**32 - 1, not {number!r:.40} "
                f"(token {token!r:.40})"
            )
        if number in tokens:
            raise CheckpointError(
                f"a number in {_VOCABULARY} must be of one token, not {number} of "
                f"{tokens[number]!r:.40} and {token!r:.40}"
            )
        tokens[number] = token
    return vocabulary


def _merges(directory: Path) -> list[tuple[str, str]]:
    content = read_bytes(directory, _MERGES) or b""
    try:
        lines = re.split("\r\n|\r|\n", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{_MERGES} must be UTF-8 text: {error}") from None
    merges = []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#version") or not line.strip():
            continue
        pair = line.split()  # no token of bytes holds a space of any kind
        if len(pair) != 2:
            raise CheckpointError(
                f"a line of {_MERGES} must be two tokens, not {line!r:.40} (line {number})"
            )
        merges.append((pair[0], pair[1]))
    return merges


def _add_tokens(
    tokenizer: Tokenizer, settings: Mapping[str, Any], numbers: Mapping[str, Any]
) -> None:
    """Tokens beside the vocabulary in the order of their numbers, and the special ones among all
    tokens.
    """
    further = settings.get("added_tokens_decoder")
    entries = further if isinstance(further, dict) else {}
    added: dict[str, int] = {}
    for token, number in numbers.items():
        if type(number) is not int:
            raise CheckpointError(
                f"a number in {_ADDED} must be whole, not {number!r:.40} (token {token!r:.40})"
            )
        added[token] = number
    described: dict[str, Any] = {}
    for number, entry in entries.items():
        if _content(entry) and str(number).isdecimal():
            added[_content(entry)] = int(number)
            described[_content(entry)] = entry
    specials = {_content(settings.get(role)): settings.get(role) for role in _ROLES}
    more = settings.get("additional_special_tokens")
    specials |= {_content(entry): entry for entry in (more if isinstance(more, list) else [])}
    specials |= {token: entry for token, entry in described.items() if entry.get("special") is True}
    specials.setdefault(_OPENING, _OPENING)
    for token, number in sorted(added.items(), key=lambda item: item[1]):
        special = token in specials
        entry = specials[token] if special else described.get(token)
        tokenizer.add_tokens([_added_token(token, entry, special=special)])
        given = tokenizer.token_to_id(token)
        if given != number:
            raise CheckpointError(
                f"added tokens must number on from {_VOCABULARY}: {token!r:.40} must be {given}, "
                f"not {number}"
            )
    for token, entry in specials.items():
        # One that has no number, such as a default of another model, must not get a new one.
        if token and tokenizer.token_to_id(token) is not None:
            tokenizer.add_special_tokens([_added_token(token, entry, special=True)])


def _added_token(token: str, entry: Any, *, special: bool) -> AddedToken:
    values = entry if isinstance(entry, dict) else {}
    flags = {flag: values[flag] for flag in _FLAGS if isinstance(values.get(flag), bool)}
    return AddedToken(token, special=special, **flags)


def _content(entry: Any) -> str:
    """Text of a special token as the files write it, a string or an object with `content`; "" for
    neither.
    """
    value = entry.get("content") if isinstance(entry, dict) else entry
    return value if isinstance(value, str) else ""
