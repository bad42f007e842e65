# SPDX-License-Identifier: Apache-2.0
"""A text that is shown while it grows is the text in the end, whatever tokens come."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from workbench.run.text_stream import GrowingText, TextStream

_ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
_TEXT = "a é € 😀 \ufffd ".strip()


def byte_level() -> Tokenizer:
    """A token per byte, some of two bytes that cut characters anywhere, and a special token 0."""
    bytes_of = {byte: token for token, byte in byte_tokens().items()}
    vocabulary = {"</s>": 0} | {bytes_of[byte]: 1 + byte for byte in range(256)}
    merges = []
    for word in ("é", "€", "😀", "ab"):
        one = [bytes_of[byte] for byte in word.encode()]
        for first, second in zip(one, one[1:], strict=False):
            if first + second not in vocabulary:
                vocabulary[first + second] = len(vocabulary)
                merges.append((first, second))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(["</s>"])
    return made


def byte_tokens() -> dict[str, int]:
    """GPT-2's characters for bytes -> the byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


def fallback() -> Tokenizer:
    """Tokens <0x00> to <0xFF> of bytes as LLaMA has them, and words: its decoder revises what it
    wrote.
    """
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary |= {word: 256 + index for index, word in enumerate(("▁a", "b", "▁", "\ufffd"))}
    made = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return made


def rewriting() -> Tokenizer:
    """A decoder whose text changes and shrinks when context grows."""
    made = Tokenizer(models.WordLevel({"do": 0, " not": 1, "n": 2, " ": 3, ".": 4}, unk_token="do"))
    made.decoder = decoders.Sequence(
        [decoders.Fuse(), decoders.Replace("do not", "don't"), decoders.Replace(" .", ".")]
    )
    return made


TOKENIZERS = {"bytes": byte_level(), "fallback": fallback(), "rewriting": rewriting()}


class Decoding:
    """What TextStream needs of a TextTokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens))


def streamed(
    capsys: pytest.CaptureFixture[str], tokenizer: Tokenizer, prompt: list[int], tokens: list[int]
) -> tuple[str, str]:
    """What is printed for the tokens, and the text of the report."""
    stream = TextStream(Decoding(tokenizer), prompt)  # pyright: ignore[reportArgumentType]
    capsys.readouterr()
    for count in range(1, len(tokens) + 1):
        stream.show(tokens[:count])
    stream.finish()
    text = stream.text(tokens)
    assert text is not None
    return capsys.readouterr().out, text


def ids(text: bytes) -> list[int]:
    """A token per byte."""
    return [1 + byte for byte in text]


@pytest.mark.parametrize(
    ("prompt", "tokens", "printed", "text"),
    [
        (b"ab", b"c", "abc", "c"),
        (b"a\xe2\x82", b"\xacb", "a€b", "€b"),  # the prompt ends inside a character
        (b"a\xc3", b"\xa9", "aé", "é"),
        (b"\xf0", b"\x9f\x98\x80", "😀", "😀"),
        (b"a\xe2\x82", b"b", "a\ufffdb", "b"),  # and nothing completes it
        (b"a", b"\xe2\x82", "a\ufffd", "\ufffd"),  # the text is cut inside a character
        (b"a\xe2", b"\x82", "a\ufffd", ""),
        (b"a", b"\x80\x80b", "a\ufffd\ufffdb", "\ufffd\ufffdb"),
        (b"a", "\ufffd".encode(), "a\ufffd", "\ufffd"),  # the character itself
        ("a\ufffd".encode(), b"b", "a\ufffdb", "b"),
        (b"", b"a", "a", "a"),
    ],
)
def test_characters_cut_in_the_middle(
    capsys: pytest.CaptureFixture[str], prompt: bytes, tokens: bytes, printed: str, text: str
) -> None:
    found = streamed(capsys, TOKENIZERS["bytes"], ids(prompt), ids(tokens))
    assert found == (printed + "\n", text)


def test_what_was_shown_is_never_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    # The decoder writes <0x41><0xE2> as two U+FFFD until the rest of the character has come.
    tokens = [0x41, 0xE2, 0x82, 0xAC]
    assert streamed(capsys, TOKENIZERS["fallback"], [256], tokens) == ("aA€\n", "A€")
    assert streamed(capsys, TOKENIZERS["fallback"], [256], tokens[:2]) == ("aA\ufffd\n", "A\ufffd")
    assert streamed(capsys, TOKENIZERS["fallback"], [0x41, 0xE2], [0x82, 0xAC]) == ("A€\n", "€")


@st.composite
def runs(draw: st.DrawFn) -> tuple[str, list[int], list[int]]:
    name = draw(st.sampled_from(sorted(TOKENIZERS)))
    size = TOKENIZERS[name].get_vocab_size()
    some = st.integers(0, size - 1)
    if name == "bytes":
        some |= st.sampled_from([token for byte in _TEXT.encode() for token in ids(bytes([byte]))])
    return name, draw(st.lists(some, max_size=6)), draw(st.lists(some, min_size=1, max_size=12))


@given(runs())
def test_streamed_text_is_the_text_of_the_report(run: tuple[str, list[int], list[int]]) -> None:
    name, prompt, tokens = run
    tokenizer = TOKENIZERS[name]

    def decode(some: Sequence[int]) -> str:
        return tokenizer.decode(list(some))

    stream = TextStream(Decoding(tokenizer), prompt)  # pyright: ignore[reportArgumentType]
    growing = GrowingText(decode, prompt)
    before = growing.shown
    pieces = [growing.push(token) for token in tokens] + [growing.finish()]
    assert growing.shown == before + "".join(pieces)
    text = growing.generated()
    assert growing.shown.endswith(text)
    assert stream.text(tokens) == text
    if name == "bytes":
        # Nothing is lost and nothing is added: the whole is what the tokens decode to.
        assert growing.shown == decode(prompt + tokens)


def test_without_tokenizer_numbers_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    stream = TextStream(None, [2])
    for count in (1, 2):
        stream.show([7, 9][:count])
    stream.finish()
    assert stream.text([7, 9]) is None
    assert capsys.readouterr().out == "7 9 \n"
