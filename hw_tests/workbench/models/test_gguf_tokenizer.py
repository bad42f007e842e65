# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of GGUF files against the tokenizers whose vocabulary they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from firmware.tokenizer import load_tokenizer
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint_folder import CheckpointError
from workbench.campaigns.llama_files import add_value
from workbench.demo.stories import generate_stories
from workbench.models.gguf_tokenizer import gguf_tokenizer

SPECIAL = ["<unk>", "<|start|>", "<|end|>"]
TEXTS = (
    "Once upon a time, there lived a small sheep.",
    "  two  spaces\tand\n\nlines \n",
    "I'll say it's 1234 don't YOU'RE",
    "é€😀 naïve",
    "<|start|>user\nHi<|end|>\n",
    "",
    "a",
)


def byte_level(pattern: str | None = None, *, digits: bool = False) -> Tokenizer:
    """A byte-level BPE that is trained with the pre-tokenizer of a known model."""
    tokenizer = Tokenizer(models.BPE())
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    first: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if pattern is not None:
        first = [pre_tokenizers.Split(Regex(pattern), behavior="isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, plain])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [*generate_stories(seed=salted(1), count=50), "12 345 6789 1234 2345 don't it's " * 9]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write(path: Path, metadata: dict[str, Any], rows: int = 600) -> Path:
    """A file with this metadata and an embedding of so many rows."""
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        if value is not None:
            add_value(writer, f"tokenizer.ggml.{key}", value)
    writer.add_tensor("token_embd.weight", np.zeros((rows, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def vocabulary(tokenizer: Tokenizer) -> dict[str, Any]:
    """Metadata of a byte-level tokenizer."""
    state = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].__getitem__)
    return {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "merges": [" ".join(pair) for pair in state["merges"]],
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


# As the tokenizer.json of SmolLM2, Llama 3 and Qwen2 have them.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


@pytest.mark.parametrize(
    ("pre", "pattern", "digits"),
    [
        ("gpt-2", None, False),
        ("smollm", None, True),
        ("llama-bpe", LLAMA3, False),
        ("qwen2", QWEN2, False),
    ],
)
def test_byte_level_tokens_are_those_of_the_tokenizer(
    tmp_path: Path, pre: str, pattern: str | None, digits: bool
) -> None:
    reference = byte_level(pattern, digits=digits)
    metadata = vocabulary(reference) | {"pre": pre, "add_bos_token": False}
    ours = load_tokenizer(gguf_tokenizer(write(tmp_path / "m.gguf", metadata)) or b"")
    for text in (*TEXTS, *generate_stories(seed=salted(2), count=5)):
        expected = reference.encode(text).ids
        assert ours.encode(text).ids == expected, text
        decoded = ours.decode(expected, skip_special_tokens=False)
        assert decoded == reference.decode(expected, skip_special_tokens=False) == text
    assert ours.decode(ours.encode("<|start|>a<|end|>").ids) == "a"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [-1]),
        ({"add_bos_token": True}, [1, -1]),
        ({"add_bos_token": True, "add_eos_token": True}, [1, -1, 2]),
        ({"pre": "llama-bpe"}, [1, -1]),
        ({"pre": "llama-bpe", "add_bos_token": False}, [-1]),
    ],
)
def test_what_opens_and_ends_a_text_is_as_the_file_says(
    tmp_path: Path, settings: dict[str, Any], expected: list[int]
) -> None:
    metadata = vocabulary(byte_level())
    word = metadata["tokens"].index("a")
    path = write(tmp_path / "m.gguf", metadata | settings)
    ours = load_tokenizer(gguf_tokenizer(path) or b"")
    assert ours.encode("a").ids == [word if token < 0 else token for token in expected]
    assert ours.encode("a", add_special_tokens=False).ids == [word]


SPACE = "▁"


def pieces() -> tuple[list[str], list[float], list[int]]:
    """A SentencePiece vocabulary: special and byte tokens, letters, and words by their score."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, 3, 3] + [6] * 256
    letters = sorted({SPACE, *"abcdeghilmnoprstuvwyfk.,<s/>\n"})
    random = np.random.default_rng(salted(3))
    words: dict[str, None] = {}
    for story in generate_stories(seed=salted(4), count=30):
        for word in story.lower().split():
            text = SPACE + word
            if set(text) <= set(letters):
                for _ in range(2):
                    first, last = sorted(random.integers(0, len(text) + 1, 2).tolist())
                    if last - first > 1:
                        words[text[first:last]] = None
    # Scores of SentencePiece's BPE fall from token to token; equal ones would leave the order open.
    found = [*words, *letters]
    scores = [0.0] * len(tokens) + [-float(rank) for rank in range(len(found))]
    return tokens + found, scores, types + [1] * len(found)


def merged(text: str, tokens: list[str], scores: list[float]) -> list[int]:
    """Tokens as llama.cpp finds them: again and again the neighbours with the best score, leftmost
    first; what is no token then is spelled in bytes.
    """
    numbers = {token: number for number, token in enumerate(tokens)}
    symbols = list(SPACE + text.replace(" ", SPACE))
    while True:
        best = None
        for at in range(len(symbols) - 1):
            number = numbers.get(symbols[at] + symbols[at + 1])
            if number is not None and (best is None or scores[number] > scores[best[1]]):
                best = (at, number)
        if best is None:
            break
        symbols[best[0] : best[0] + 2] = [tokens[best[1]]]
    found = []
    for symbol in symbols:
        spelled = [numbers[f"<0x{byte:02X}>"] for byte in symbol.encode()]
        found += [numbers[symbol]] if symbol in numbers else spelled
    return found


def test_sentence_piece_tokens_are_those_of_greedy_merging(tmp_path: Path) -> None:
    tokens, scores, types = pieces()
    metadata = {"model": "llama", "tokens": tokens, "scores": scores, "token_type": types}
    metadata |= {"bos_token_id": 1, "eos_token_id": 2}
    path = write(tmp_path / "m.gguf", metadata, rows=len(tokens))
    ours = load_tokenizer(gguf_tokenizer(path) or b"")
    texts = [text.lower() for text in generate_stories(seed=salted(5), count=6)]
    for text in (*texts, "é€😀", "the  dog", "a<s", "x y z\n"):
        assert ours.encode(text).ids == [1, *merged(text, tokens, scores)], text
        assert ours.decode(ours.encode(text).ids) == text
    # A text that spells a special token is that token.
    assert ours.encode("<s>", add_special_tokens=False).ids == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "t5"}, "tokenizer.ggml.model must be one of gpt2, llama, not 't5'"),
        ({"pre": "tekken"}, "tokenizer.ggml.pre must be one of gpt-2, smollm, .* not 'tekken'"),
        ({"pre": None}, "tokenizer.ggml.pre must be one of .* not None"),
        ({"merges": ["a b c"]}, "a merge of tokenizer.ggml.merges must be two tokens, not 'a b c'"),
        ({"merges": ["zz yy"]}, "tokenizer.ggml.tokens and merges must fit each other"),
        ({"tokens": ["a", "b", "a"]}, "must be there once, not 'a' as 0 and 2"),
        (
            {"tokens": [f"{n}" for n in range(601)]},
            "at most the 600 rows of the embedding, not 601",
        ),
        ({"token_type": [1, 2]}, "token_type must be 500 numbers, one for each token"),
        ({"add_bos_token": True, "bos_token_id": 500}, "must be a token below 500, not 500"),
        ({"model": "llama"}, "tokenizer.ggml.scores must be 500 numbers, one for each token"),
        ({"model": ["a", "b"]}, "tokenizer.ggml.model must be one of gpt2, llama, not .'a', 'b'."),
        ({"pre": ["a", "b"]}, "tokenizer.ggml.pre must be one of .* not .'a', 'b'."),
        ({"merges": 7}, "tokenizer.ggml.merges must be a list, not 7"),
        ({"token_type": ["x"] * 500}, "tokenizer.ggml.token_type must be numbers, not 'x'"),
        (
            {"model": "llama", "scores": [float("nan")] * 500},
            "tokenizer.ggml.scores must be numbers, not nan",
        ),
        ({"add_bos_token": 7}, "tokenizer.ggml.add_bos_token must be true or false, not 7"),
        ({"add_eos_token": "x"}, "tokenizer.ggml.add_eos_token must be true or false, not 'x'"),
        (
            {"model": "llama", "scores": [0.5] * 500, "add_space_prefix": 1},
            "tokenizer.ggml.add_space_prefix must be true or false, not 1",
        ),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    metadata = vocabulary(byte_level()) | change
    with pytest.raises(CheckpointError, match=message):
        gguf_tokenizer(write(tmp_path / "m.gguf", metadata))


def test_a_file_without_vocabulary_has_no_tokenizer(tmp_path: Path) -> None:
    assert gguf_tokenizer(write(tmp_path / "m.gguf", {})) is None
