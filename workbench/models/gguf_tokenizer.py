# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a GGUF file, built with the package `tokenizers` from the file's own vocabulary.

Two kinds are known: "gpt2", byte-level BPE with merges and one of the pre-tokenizers below, and
"llama", SentencePiece's BPE, whose merges follow from the scores of its tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.config_fields import finite_number
from meadow.compiler.importers.gguf_file import GgufFile, open_gguf

__all__ = ["gguf_tokenizer"]

_UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 2, 3, 4, 6
"""Values of `tokenizer.ggml.token_type`; 1 is a usual token, 5 one without use."""

_SPACE = "▁"

# The regular expressions are those of the models' own tokenizers.
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _digits() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


def _split(pattern: str) -> Callable[[], Any]:
    def build() -> Any:
        parts = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return pre_tokenizers.Sequence([parts, byte_level])

    return build


_PRE_TOKENIZERS: dict[str, Callable[[], Any]] = {
    "gpt-2": _gpt2,
    "smollm": _digits,
    "starcoder": _digits,
    "llama-bpe": _split(_LLAMA3),
    "qwen2": _split(_QWEN2),
}
"""By `tokenizer.ggml.pre`."""


def gguf_tokenizer(path: Path) -> bytes | None:
    """The bytes of a tokenizer.json that stands for the vocabulary of a GGUF file; None if it has
    none.

    CheckpointError for a kind of tokenizer that is not known, and for a vocabulary that does not
    fit itself or the model.
    """
    file = open_gguf(path)
    kind = file.value("tokenizer.ggml.model")
    if kind is None:
        return None
    if not isinstance(kind, str) or kind not in _BUILDERS:
        raise CheckpointError(
            f"tokenizer.ggml.model must be one of {', '.join(_BUILDERS)}, not {kind!r:.60}"
        )
    tokens = _tokens(file)
    tokenizer = _BUILDERS[kind](file, tokens)
    types = _types(file, tokens)
    tokenizer.add_special_tokens(
        [_added(token) for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    )
    tokenizer.add_tokens(
        [_added(token) for token, kind in zip(tokens, types, strict=True) if kind == _USER_DEFINED]
    )
    _frame(file, tokens, tokenizer)
    return tokenizer.to_str().encode()


def _added(token: str) -> AddedToken:
    return AddedToken(token, normalized=False)


def _byte_level(file: GgufFile, tokens: list[str]) -> Tokenizer:
    """Byte-level BPE, as GPT-2 introduced it."""
    pre = file.value("tokenizer.ggml.pre")
    if not isinstance(pre, str) or pre not in _PRE_TOKENIZERS:
        raise CheckpointError(
            f"tokenizer.ggml.pre must be one of {', '.join(_PRE_TOKENIZERS)}, not {pre!r:.60}"
        )
    lines = file.value("tokenizer.ggml.merges")
    if lines is not None and not isinstance(lines, list):
        raise CheckpointError(f"tokenizer.ggml.merges must be a list, not {lines!r:.60}")
    merges = []
    for line in lines or []:
        pair = str(line).split(" ")
        if len(pair) != 2:
            raise CheckpointError(
                f"a merge of tokenizer.ggml.merges must be two tokens, not {line!r:.60}"
            )
        merges.append((pair[0], pair[1]))
    # Llama 3 looks a whole word up before it merges.
    tokenizer = _bpe(tokens, merges, ignore_merges=pre == "llama-bpe")
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _PRE_TOKENIZERS[pre]()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _sentence_piece(file: GgufFile, tokens: list[str]) -> Tokenizer:
    """SentencePiece's BPE: of all neighbours those are merged whose token has the best score."""
    scores = _numbers(file, "scores", len(tokens))
    types = _types(file, tokens)
    numbers = {token: number for number, token in enumerate(tokens)}
    pairs = []
    for token, score, kind in zip(tokens, scores, types, strict=True):
        if kind in (_UNKNOWN, _CONTROL, _BYTE):
            continue
        for at in range(1, len(token)):
            left, right = numbers.get(token[:at]), numbers.get(token[at:])
            if left is not None and right is not None:
                pairs.append((-score, numbers[token], left, right))
    merges = [(tokens[left], tokens[right]) for _, _, left, right in sorted(pairs)]
    unknown = next((t for t, kind in zip(tokens, types, strict=True) if kind == _UNKNOWN), None)
    tokenizer = _bpe(tokens, merges, unk_token=unknown, fuse_unk=True, byte_fallback=_BYTE in types)
    spaced = _flag(file, "add_space_prefix") is not False
    opening = [normalizers.Prepend(_SPACE)] if spaced else []
    tokenizer.normalizer = normalizers.Sequence([*opening, normalizers.Replace(" ", _SPACE)])
    stripped = [decoders.Strip(" ", 1, 0)] if spaced else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *stripped]
    )
    return tokenizer


_BUILDERS: dict[str, Callable[[GgufFile, list[str]], Tokenizer]] = {
    "gpt2": _byte_level,
    "llama": _sentence_piece,
}
"""By `tokenizer.ggml.model`."""


def _bpe(tokens: list[str], merges: list[tuple[str, str]], **options: Any) -> Tokenizer:
    numbers = {token: number for number, token in enumerate(tokens)}
    try:
        return Tokenizer(models.BPE(numbers, merges, **options))
    except Exception as error:  # the package raises plain Exception
        raise CheckpointError(
            f"tokenizer.ggml.tokens and merges must fit each other: {error}"
        ) from None


def _tokens(file: GgufFile) -> list[str]:
    """All tokens; CheckpointError unless each is there once and has a row of the embedding."""
    tokens = file.value("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, str) for t in tokens):
        raise CheckpointError("tokenizer.ggml.tokens must be a list of texts")
    rows = file.shape("token_embd.weight")[0] if "token_embd.weight" in file else len(tokens)
    if len(tokens) > rows:
        raise CheckpointError(
            f"tokenizer.ggml.tokens must be at most the {rows} rows of the embedding, "
            f"not {len(tokens)}"
        )
    seen: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if seen.setdefault(token, number) != number:
            raise CheckpointError(
                f"a token of tokenizer.ggml.tokens must be there once, not {token!r:.40} as "
                f"{seen[token]} and {number}"
            )
    return tokens


def _types(file: GgufFile, tokens: list[str]) -> list[int]:
    if file.value("tokenizer.ggml.token_type") is None:
        return [1] * len(tokens)
    return _numbers(file, "token_type", len(tokens))


def _numbers(file: GgufFile, name: str, count: int) -> list[Any]:
    """A list with a finite number for each token."""
    values = file.value(f"tokenizer.ggml.{name}")
    if not isinstance(values, list) or len(values) != count:
        raise CheckpointError(f"tokenizer.ggml.{name} must be {count} numbers, one for each token")
    wrong = [value for value in values if finite_number(value) is None]
    if wrong:
        raise CheckpointError(f"tokenizer.ggml.{name} must be numbers, not {wrong[0]!r:.60}")
    return values


def _flag(file: GgufFile, name: str) -> bool | None:
    """True or false; None if the file does not say."""
    value = file.value(f"tokenizer.ggml.{name}")
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(f"tokenizer.ggml.{name} must be true or false, not {value!r:.60}")
    return value


def _frame(file: GgufFile, tokens: list[str], tokenizer: Tokenizer) -> None:
    """What opens and ends a text, as the file says or as its kind of tokenizer does by itself."""
    opens = _flag(file, "add_bos_token")
    if opens is None:
        sentence_piece = file.value("tokenizer.ggml.model") == "llama"
        opens = sentence_piece or file.value("tokenizer.ggml.pre") == "llama-bpe"
    ends = _flag(file, "add_eos_token") is True
    frame = [
        (_special(file, tokens, kind) if wanted else None)
        for kind, wanted in (("bos", opens), ("eos", ends))
    ]
    if frame == [None, None]:
        return
    first, last = ([token] if token is not None else [] for token in frame)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[*(token for token, _ in first), "$A", *(token for token, _ in last)],
        special_tokens=[*first, *last],
    )


def _special(file: GgufFile, tokens: list[str], kind: str) -> tuple[str, int]:
    number = file.value(f"tokenizer.ggml.{kind}_token_id")
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise CheckpointError(
            f"tokenizer.ggml.{kind}_token_id must be a token below {len(tokens)}, "
            f"not {number!r:.60}"
        )
    return tokens[number], number
