# SPDX-License-Identifier: Apache-2.0
"""The image file: all a host needs to run one model on one configuration, in one safetensors file.

safetensors layout: u64 length of the header, JSON header, tensors without gaps, little-endian. The
header is padded with spaces so that tensors start at a multiple of `DATA_ALIGNMENT`. Tensors, in
this order:

    dram             U8 [bytes]               constant start of the DMA window: streams, norm
                                              parameters, program
    embed_tokens     I16 [vocabulary, dp]     token embeddings, dp = d padded to W, padding 0
    embed_positions  I16 [max_positions, dp]  position embeddings, row p is position p; no rows for
                                              models that add none
    rotary           I16 [max_positions, words*W/2]  rotary words of position p as they lie in the
                                              activation memory; [0, 0] for models without
    prefix           I8 [layers, 2 (K, V), KV heads, head-dim blocks, P, segment bytes]  the first P
                                              positions of every sequence's cache, see `CacheFacts`;
                                              P is 0 for models without a prefix
    tokenizer        U8 [bytes]               tokenizer.json

The header's metadata holds the manifest as JSON under `MANIFEST_KEY` and its SHA-256 under
`DIGEST_KEY`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.limits import Limits
from meadow.spec.model import ModelDescription

__all__ = [
    "DATA_ALIGNMENT",
    "DIGEST_KEY",
    "FORMAT_VERSION",
    "MANIFEST_KEY",
    "TENSOR_TYPES",
    "CacheFacts",
    "ChatFacts",
    "LogitsPiece",
    "Manifest",
    "MatrixFacts",
    "Region",
    "encode_header",
]

FORMAT_VERSION = 3
MANIFEST_KEY = "meadow"
DIGEST_KEY = "meadow_sha256"
DATA_ALIGNMENT = 64
TENSOR_TYPES: Mapping[str, str] = {
    "dram": "U8",
    "embed_tokens": "I16",
    "embed_positions": "I16",
    "rotary": "I16",
    "prefix": "I8",
    "tokenizer": "U8",
}
"""safetensors type of every tensor, in file order."""

_ELEMENT_BYTES = {"U8": 1, "I8": 1, "I16": 2}


@dataclass(frozen=True)
class Region:
    """Part of the DMA window, in beats from its base."""

    offset: int
    beats: int


@dataclass(frozen=True)
class CacheFacts:
    """KV cache: sequence i at beat start + i * sequence_beats, room for `rows` positions each.

    K of head h of layer l starts (2*l*heads + h) * blocks * block_stride beats later, V
    ((2*l+1)*heads + h) * ...; head-dim block b another b * block_stride, position i another i *
    segment_beats.
    """

    start: int
    sequence_beats: int
    rows: int
    heads: int
    segment_beats: int
    blocks: int
    block_stride: int


@dataclass(frozen=True)
class ChatFacts:
    """How a conversation becomes text.

    source: the chat template; special_tokens: texts of the special tokens that it may name, by
    name, such as `bos_token`.
    """

    source: str
    special_tokens: Mapping[str, str]


@dataclass(frozen=True)
class LogitsPiece:
    """Logits in DRAM: int16 [rows asked for, channels] from beat `offset`.

    Column i is channel first_channel + i; the last piece includes the vocabulary's padding. Of a
    model with the outputs "hidden" the one piece is its last residual rows, all of the chunk, with
    d's padding.
    """

    offset: int
    first_channel: int
    channels: int


@dataclass(frozen=True)
class MatrixFacts:
    """How a matrix was stored.

    outputs, inputs: true shape; codec: its name; size_bytes: of all streams, headers included.
    """

    name: str
    outputs: int
    inputs: int
    codec: str
    size_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per true weight."""
        return 8 * self.size_bytes / (self.outputs * self.inputs)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the tensors mean.

    contract_hash: 64 hexadecimal digits, of `config`; config_name: what it was called when
    compiled;
    context: tokens per sequence, those of the prefix included; prefix: tokens that every sequence
    begins behind, often none; chunk_tokens: largest chunk the program has room for;
    dataflow: "tphs" or "gemm" for each layer; step: (position, tokens) of the only step that the
    program serves, None for any;
    hidden_block: H;
    residual_scale, logits_scale: real value of one unit;
    commands, labels: length of the program, which starts at region `program`, and a name for every
    command;
    regions: program, embeddings (int16 [rows, dp]), rotary (the tensor's rows of the positions, of
    rotary models), argmax (16 bytes {u32 index, s32 value, 0} per row, of models with a head),
    logits, dump (room for a copy of the activation memory, or of the exponents of its words);
    beyond them the cache;
    logits: the pieces, by ascending channel; matrices: in order of execution;
    tensors_sha256: by tensor name; notes: how the model was quantised;
    end_tokens: tokens that end a generated text, the model's `eos_token` among them;
    chat: None for a model without a chat template.
    """

    contract_hash: str
    config_name: str
    config: AcceleratorConfig
    model: ModelDescription
    context: int
    prefix: tuple[int, ...]
    chunk_tokens: int
    dataflow: tuple[str, ...]
    step: tuple[int, int] | None
    hidden_block: int
    residual_scale: float
    logits_scale: float
    commands: int
    labels: tuple[str, ...]
    regions: Mapping[str, Region]
    cache: CacheFacts
    logits: tuple[LogitsPiece, ...]
    matrices: tuple[MatrixFacts, ...]
    tensors_sha256: Mapping[str, str]
    notes: Mapping[str, Any]
    end_tokens: tuple[int, ...]
    chat: ChatFacts | None

    @property
    def limits(self) -> Limits:
        """What requests must fit."""
        return Limits(
            model=self.model,
            context=self.context,
            chunk_tokens=self.chunk_tokens,
            prefix=self.prefix,
        )

    @property
    def prefix_shape(self) -> tuple[int, ...]:
        """Shape of the tensor `prefix`."""
        cache = self.cache
        segment_bytes = cache.segment_beats * BEAT_BYTES
        heads = (self.model.layers, 2, cache.heads, cache.blocks)
        return (*heads, len(self.prefix), segment_bytes)

    def kv_base(self, sequence: int) -> int:
        """Beats from the window base to the cache of a sequence, the `kv_base` of its table
        entry."""
        return self.cache.start + sequence * self.cache.sequence_beats

    def window_beats(self, sequences: int) -> int:
        """Beats of a DMA window for so many sequences."""
        return self.kv_base(sequences)

    def to_json(self) -> str:
        """Canonical JSON, the same for the same manifest; `bits_per_weight` is for people only."""
        values = dataclasses.asdict(self)
        values["model"] = self.model.to_dict()
        values["format_version"] = FORMAT_VERSION
        for entry, facts in zip(values["matrices"], self.matrices, strict=True):
            entry["bits_per_weight"] = round(facts.bits_per_weight, 4)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Inverse of `to_json`; ValueError for another format version, a missing field or one of
        the wrong kind."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"the manifest is not JSON: {error}") from None
        version = values.pop("format_version", None) if isinstance(values, dict) else None
        if version != FORMAT_VERSION:
            raise ValueError(
                f"the image format version must be {FORMAT_VERSION}, not {version}: compile it "
                f"again"
            )
        try:
            values["config"] = AcceleratorConfig.from_dict(values["config"])
            values["model"] = ModelDescription.from_dict(values["model"])
            values["cache"] = CacheFacts(**values["cache"])
            values["labels"] = tuple(values["labels"])
            values["dataflow"] = tuple(values["dataflow"])
            values["prefix"] = tuple(values["prefix"])
            values["end_tokens"] = tuple(values["end_tokens"])
            values["chat"] = None if values["chat"] is None else ChatFacts(**values["chat"])
            values["step"] = None if values["step"] is None else tuple(values["step"])
            values["regions"] = {name: Region(**entry) for name, entry in values["regions"].items()}
            values["logits"] = tuple(LogitsPiece(**entry) for entry in values["logits"])
            for entry in values["matrices"]:
                entry.pop("bits_per_weight")
            values["matrices"] = tuple(MatrixFacts(**entry) for entry in values["matrices"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the manifest has a missing or malformed field: {error}") from None


def encode_header(shapes: Mapping[str, tuple[int, ...]], manifest: Manifest) -> bytes:
    """The file up to its first tensor; `shapes` has every tensor of `TENSOR_TYPES`."""
    text = manifest.to_json()
    entries: dict[str, Any] = {
        "__metadata__": {
            MANIFEST_KEY: text,
            DIGEST_KEY: hashlib.sha256(text.encode()).hexdigest(),
        }
    }
    start = 0
    for name, kind in TENSOR_TYPES.items():
        end = start + math.prod(shapes[name]) * _ELEMENT_BYTES[kind]
        entries[name] = {"dtype": kind, "shape": list(shapes[name]), "data_offsets": [start, end]}
        start = end
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-(len(header) + 8) % DATA_ALIGNMENT)
    return len(header).to_bytes(8, "little") + header
