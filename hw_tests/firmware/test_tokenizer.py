# SPDX-License-Identifier: Apache-2.0
"""Text and tokens, and what is said where there is no tokenizer."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from firmware.tokenizer import TextTokenizer, TokenizerMissing, load_tokenizer
from meadow.model.image import Image


def with_tokenizer(image: Image) -> Image:
    text = Tokenizer(models.WordLevel({"meadow": 5, "?": 0}, unk_token="?")).to_str()
    return dataclasses.replace(image, tokenizer=np.frombuffer(text.encode(), np.uint8))


def test_text_and_tokens(image: Image) -> None:
    tokenizer = TextTokenizer(with_tokenizer(image))
    assert tokenizer.encode("meadow") == [5]
    assert tokenizer.decode([5]) == "meadow"


def test_an_image_without_tokenizer_is_named(image: Image) -> None:
    with pytest.raises(TokenizerMissing, match="the image has no tokenizer.*--prompt-tokens"):
        TextTokenizer(image)


def test_text_of_a_chat_template_gets_no_further_special_tokens() -> None:
    made = Tokenizer(models.WordLevel({"meadow": 5, "<s>": 1, "<end>": 2}))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["<s>", "<end>"])
    made.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A"], special_tokens=[("<s>", 1)]
    )
    tokenizer = TextTokenizer(made.to_str().encode())
    assert tokenizer.encode("meadow<end>") == [1, 5, 2]
    assert tokenizer.encode_templated("<s>meadow<end>") == [1, 5, 2]
    with pytest.raises(ValueError, match=r"must be UTF-8 text, not '\\udcff'"):
        tokenizer.encode_templated("\udcff")


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b"\xff"])
def test_what_is_no_tokenizer_is_named(image: Image, data: bytes) -> None:
    damaged = dataclasses.replace(image, tokenizer=np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="tokenizer.json must hold a tokenizer: "):
        TextTokenizer(damaged)


def test_a_prompt_that_is_no_text_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"a prompt must be UTF-8 text, not '\\udcff'"):
        TextTokenizer(with_tokenizer(image)).encode("\udcff")


def test_a_missing_package_is_named(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(TokenizerMissing, match="pip install tokenizers"):
        TextTokenizer(with_tokenizer(image))


def byte_level(**settings: object) -> Tokenizer:
    """A tokenizer of bytes with one merge, and an opening token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "</s>": 1} | {one: 2 + i for i, one in enumerate(alphabet)}
    vocabulary["ab"] = len(vocabulary)
    made = Tokenizer(models.BPE(vocabulary, [("a", "b")], **settings))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["<pad>", "</s>"])
    made.post_processor = processors.TemplateProcessing(
        single="</s> $A", special_tokens=[("</s>", 1)]
    )
    return made


def padded(direction: str) -> Tokenizer:
    made = byte_level()
    made.enable_padding(direction=direction, pad_id=0, pad_token="<pad>", length=16)
    return made


def multiple_padded() -> Tokenizer:
    made = byte_level()
    made.enable_padding(pad_id=0, pad_token="<pad>", pad_to_multiple_of=8)
    return made


def truncated(direction: str) -> Tokenizer:
    made = byte_level()
    made.enable_truncation(max_length=3, direction=direction)
    return made


def stored(made: Tokenizer) -> bytes:
    """Its tokenizer.json; what was switched on must be in it."""
    text = made.to_str()
    assert text != byte_level().to_str()
    return text.encode()


@pytest.mark.parametrize(
    "made",
    [
        padded("left"),
        padded("right"),
        multiple_padded(),
        truncated("left"),
        truncated("right"),
        byte_level(dropout=1.0),
        byte_level(dropout=0.5),
    ],
    ids=["pad left", "pad right", "pad to 8", "cut left", "cut right", "dropout 1", "dropout 0.5"],
)
def test_what_training_left_switched_on_does_not_change_a_text(image: Image, made: Any) -> None:
    plain = load_tokenizer(byte_level().to_str().encode())
    data = stored(made)
    tokenizer = TextTokenizer(
        dataclasses.replace(image, tokenizer=np.frombuffer(data, dtype=np.uint8))
    )
    for text in ("ab", "abababababab", "", "cab driver"):
        expected = plain.encode(text).ids
        assert all(tokenizer.encode(text) == expected for _ in range(5))
        assert all(load_tokenizer(data).encode(text).ids == expected for _ in range(3))


def test_a_unigram_model_does_not_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has no field for it today; a tokenizer that samples anyway is told not to."""
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("ab", -1.5), ("aba", -2.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.model.alpha, made.model.nbest_size = 0.1, 4
    assert len({tuple(made.encode("abab" * 8).ids) for _ in range(20)}) > 1
    monkeypatch.setattr(Tokenizer, "from_str", staticmethod(lambda text: made))
    calm = load_tokenizer(b"{}")
    assert len({tuple(calm.encode("abab" * 8).ids) for _ in range(20)}) == 1


def test_a_byte_order_mark_is_no_damage() -> None:
    data = b"\xef\xbb\xbf" + byte_level().to_str().encode()
    assert load_tokenizer(data).encode("a").ids[0] == 1


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ([("<a>", 300)], r"'<a>' must be 259, not 300"),
        ([("<a>", 260), ("<b>", 259)], r"'<a>' must be 259, not 260"),
        ([("<a>", 259), ("a", 260)], r"'a' must be \d+, not 260"),
    ],
)
def test_an_added_token_keeps_its_number_or_is_named(
    added: list[tuple[str, int]], message: str
) -> None:
    """The package would number them anew without a word, and the prompt would be another one."""
    stored = json.loads(byte_level().to_str())
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    stored["added_tokens"] += [{"content": token, "id": number} | flags for token, number in added]
    with pytest.raises(ValueError, match=f"must number on from its vocabulary: {message}"):
        load_tokenizer(json.dumps(stored).encode())
    stored["added_tokens"] = stored["added_tokens"][:2] + [{"content": "<a>", "id": 259} | flags]
    assert load_tokenizer(json.dumps(stored).encode()).encode("<a>").ids == [1, 259]
