# SPDX-License-Identifier: Apache-2.0
"""Tokenizers as checkpoints bring them: one file, or the two of GPT-2's byte-level BPE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers

from firmware.tokenizer import load_tokenizer
from meadow.compiler.importers.checkpoint import CheckpointError
from workbench.models.tokenizer_files import read_tokenizer, tokenizer_files

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
WORDS = ["he", "ll", "hell", "hello", "Ġw", "Ġwo", "Ã©"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "Ã ©"]


def write(directory: Path, **files: Any) -> Path:
    """vocab.json and merges.txt as OPT has them, and further files by name with _ for the last
    dot.
    """
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *ALPHABET, *WORDS]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", "utf-8")
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return directory


def ids(directory: Path, text: str) -> list[int]:
    data = read_tokenizer(directory)
    assert data is not None
    return list(load_tokenizer(data).encode(text).ids)


def number(token: str) -> int:
    return ["<s>", "<pad>", "</s>", "<unk>", *ALPHABET, *WORDS].index(token)


def test_two_files_make_the_tokenizer_of_opt(tmp_path: Path) -> None:
    write(tmp_path)
    assert ids(tmp_path, "hello wo") == [2, number("hello"), number("Ġwo")]
    assert ids(tmp_path, "é</s>") == [2, number("Ã©"), 2]
    tokenizer = load_tokenizer(read_tokenizer(tmp_path) or b"")
    for text in ("hello wo", " héllo\n\t 😀\x00", "a\ufffdb"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert read_tokenizer(tmp_path) == read_tokenizer(tmp_path)


def special(content: str, **flags: bool) -> dict[str, Any]:
    return {"content": content, "normalized": True, "lstrip": False, "rstrip": False, **flags}


@pytest.mark.parametrize(
    ("files", "text", "expected"),
    [
        ({"tokenizer_config": {"add_bos_token": False}}, "he", ["he"]),
        ({"tokenizer_config": {"add_bos_token": True, "bos_token": "<s>"}}, "he", ["<s>", "he"]),
        ({"tokenizer_config": {"bos_token": special("<s>")}}, "he", ["<s>", "he"]),
        ({"tokenizer_config": {"add_prefix_space": True}}, "wo", ["</s>", "Ġwo"]),
        ({"tokenizer_config": {"add_prefix_space": False}}, "wo", ["</s>", "w", "o"]),
        ({"special_tokens_map": {"bos_token": special("<s>")}}, "<s>he", ["<s>", "<s>", "he"]),
        (
            {
                "tokenizer_config": {"bos_token": "<s>"},
                "special_tokens_map": {"bos_token": "</s>", "pad_token": "<pad>"},
            },
            "he<pad>",
            ["</s>", "he", "<pad>"],
        ),
        # A default of another model that this vocabulary lacks gets no number.
        ({"tokenizer_config": {"unk_token": "<|endoftext|>"}}, "he", ["</s>", "he"]),
    ],
)
def test_settings_beside_them_are_heeded(
    tmp_path: Path, files: dict[str, Any], text: str, expected: list[str]
) -> None:
    write(tmp_path, **files)
    assert ids(tmp_path, text) == [number(token) for token in expected]


def test_added_tokens_keep_their_numbers(tmp_path: Path) -> None:
    size = 4 + len(ALPHABET) + len(WORDS)
    write(tmp_path, added_tokens={"<b>": size + 1, "<a>": size})
    assert ids(tmp_path, "<b><a>he") == [2, size + 1, size, number("he")]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<a>": size + 5}))
    with pytest.raises(CheckpointError, match=f"'<a>' must be {size}, not {size + 5}"):
        read_tokenizer(tmp_path)
    (tmp_path / "added_tokens.json").unlink()
    decoder = {str(size): special("<a>") | {"special": True}, "2": special("</s>")}
    write(tmp_path, tokenizer_config={"added_tokens_decoder": decoder})
    tokenizer = load_tokenizer(read_tokenizer(tmp_path) or b"")
    assert tokenizer.encode("<a>").ids == [2, size]
    assert tokenizer.decode([size, number("he")]) == "he"


def test_line_ends_and_byte_order_marks_of_another_system_are_no_damage(tmp_path: Path) -> None:
    expected = ids(write(tmp_path), "hello wo")
    merges = (tmp_path / "merges.txt").read_bytes()
    for other in (merges.replace(b"\n", b"\r"), merges.replace(b"\n", b" \n"), merges.rstrip()):
        (tmp_path / "merges.txt").write_bytes(other)
        assert ids(tmp_path, "hello wo") == expected
    (tmp_path / "merges.txt").write_bytes(merges)
    for name in ("vocab.json", "merges.txt"):
        path = tmp_path / name
        content = path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + content)
    assert ids(tmp_path, "hello wo") == expected


def test_one_file_counts_before_two(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path) is None and tokenizer_files(tmp_path) == []
    write(tmp_path)
    assert [path.name for path in tokenizer_files(tmp_path)] == ["vocab.json", "merges.txt"]
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    assert read_tokenizer(tmp_path) == b"{}"
    assert [path.name for path in tokenizer_files(tmp_path)] == ["tokenizer.json"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", None, "vocab.json must have merges.txt beside it; there is none in"),
        ("vocab.json", None, "merges.txt must have vocab.json beside it; there is none in"),
        ("vocab.json", "{", "vocab.json must be valid JSON"),
        ("vocab.json", '{"a": "b"}', "must be whole and in 0.*, not 'b'"),
        ("merges.txt", "x y\n", "vocab.json and merges.txt must fit each other: "),
        ("merges.txt", "#version: 0.2\nh e l\n", r"must be two tokens, not 'h e l' \(line 2\)"),
        ("merges.txt", b"h \xe9\n", "^merges.txt must be UTF-8 text: "),
        ("vocab.json", '{"h": 1, "e": 1}', "must be of one token, not 1 of 'h' and 'e'"),
        ("vocab.json", '{"h": -1}', r"must be whole and in 0..2\*\*32 - 1, not -1 \(token 'h'\)"),
        ("vocab.json", '{"h": 1.0}', "must be whole and in 0.*, not 1.0"),
        ("vocab.json", '{"h": null}', "must be whole and in 0.*, not None"),
        ("vocab.json", '{"h": true}', "must be whole and in 0.*, not True"),
        ("vocab.json", f'{{"h": {10**30}}}', "must be whole and in 0.*, not 1000000"),
        ("vocab.json", '{"\\uD83D": 1}', r"vocab.json must be valid JSON: .*'\\ud83d'"),
        ("added_tokens.json", '{"<a>": "267"}', r"must be whole, not '267' \(token '<a>'\)"),
        ("added_tokens.json", '{"<a>": true}', r"added_tokens.json must be whole, not True"),
        ("special_tokens_map.json", '{"bos_token": "\\ud83d"}', "map.json must be valid JSON"),
        ("merges.txt", "version https://git-lfs.github.com/spec/v1\n", "merges.txt is a pointer"),
        ("vocab.json", '{"h": 0, "e": 1, "he": 2}', "must"),
    ],
)
def test_files_that_do_not_fit_are_named(
    tmp_path: Path, name: str, content: str | bytes | None, message: str
) -> None:
    path = write(tmp_path) / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=message):
        read_tokenizer(tmp_path)


def test_the_opening_token_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, tokenizer_config={"bos_token": "<|startoftext|>"})
    with pytest.raises(CheckpointError, match=r"must hold the opening token '<\|startoftext\|>'"):
        read_tokenizer(tmp_path)
