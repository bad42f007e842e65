# SPDX-License-Identifier: Apache-2.0
"""Compilation of a quantised model to an image, and its writing to disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from meadow.atomic_write import replacing
from meadow.compiler.lowering.layout import CacheLayout
from meadow.compiler.lowering.program import Program, compile_program
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import BEAT_BYTES, AcceleratorConfig
from meadow.spec.contract import contract_hash
from meadow.spec.image import (
    TENSOR_TYPES,
    CacheFacts,
    ChatFacts,
    Manifest,
    Region,
    encode_header,
)

__all__ = ["compile_image", "write_image"]


def compile_image(
    model: QuantisedModel,
    config: AcceleratorConfig,
    *,
    config_name: str,
    codec: str = "auto",
    tokenizer_json: bytes | str,
    context: int | None = None,
    dataflow: str | Sequence[str] = "tphs",
    step: tuple[int, int] | None = None,
    bytes_per_cycle: float | None = None,
    end_tokens: Sequence[int] = (),
    chat: ChatFacts | None = None,
) -> Image:
    """Image of `model` for `config`.

    codec: of `packing.CODECS`; tokenizer_json: content of tokenizer.json; context: tokens per
    sequence, the prefix included, by default all that model and configuration allow; dataflow,
    step, bytes_per_cycle: see `compile_program`; end_tokens: that end a generated text beside the
    model's `eos_token`; chat: the model's chat template. The same arguments give the same image,
    byte for byte.

    CompileError (a ValueError) if the configuration cannot hold the model, MissingPart (one too) if
    it has no decoder for the codec, or not what the dataflow needs.
    """
    program = compile_program(
        model,
        config,
        codec=codec,
        context=context,
        dataflow=dataflow,
        step=step,
        bytes_per_cycle=bytes_per_cycle,
    )
    text = tokenizer_json.encode() if isinstance(tokenizer_json, str) else tokenizer_json
    tensors = {
        "dram": program.dram,
        "embed_tokens": _padded(model.embed_tokens, program.sizes.width),
        "embed_positions": _padded(model.embed_positions, program.sizes.width),
        "rotary": program.rotary,
        "prefix": _prefix_rows(model, program.cache),
        "tokenizer": np.frombuffer(text, np.uint8),
    }
    manifest = replace(
        _manifest(model, config, config_name, program),
        end_tokens=tuple(dict.fromkeys((model.description.eos_token, *end_tokens))),
        chat=chat,
    )
    digests = {name: hashlib.sha256(tensor.data).hexdigest() for name, tensor in tensors.items()}
    return Image(replace(manifest, tensors_sha256=digests), **tensors)


def write_image(image: Image, path: str | os.PathLike[str]) -> None:
    """Write the image so that `path` holds either all of it or what was there before.

    OSError naming the path if it cannot be written.
    """
    tensors = {name: getattr(image, name) for name in TENSOR_TYPES}
    header = encode_header({name: tensor.shape for name, tensor in tensors.items()}, image.manifest)
    with replacing(path, "the image") as file:
        file.write(header)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).data)


def _manifest(
    model: QuantisedModel,
    config: AcceleratorConfig,
    config_name: str,
    program: Program,
) -> Manifest:
    cache = program.cache
    return Manifest(
        contract_hash=contract_hash(config),
        config_name=config_name,
        config=config,
        model=model.description,
        context=program.context,
        prefix=() if model.prefix is None else model.prefix.tokens,
        dataflow=program.dataflow,
        step=program.step,
        chunk_tokens=program.plan.tokens,
        hidden_block=model.hidden_block,
        residual_scale=float(model.residual_scale),
        logits_scale=float(model.logits_scale),
        commands=len(program.commands),
        labels=program.labels,
        regions={name: Region(*place) for name, place in program.regions.items()},
        cache=CacheFacts(
            start=program.kv_start,
            sequence_beats=cache.sequence_beats,
            rows=cache.rows,
            heads=cache.heads,
            segment_beats=cache.segment_beats,
            blocks=cache.blocks,
            block_stride=cache.block_stride,
        ),
        logits=program.logits,
        matrices=program.matrices,
        tensors_sha256={},
        notes=dict(model.notes),
        end_tokens=(),
        chat=None,
    )


def _prefix_rows(model: QuantisedModel, cache: CacheLayout) -> np.ndarray:
    """K and V of the prefix as they lie in the cache, the tensor `prefix`."""
    size = cache.segment_beats * BEAT_BYTES
    rows = np.zeros((cache.layers, 2, cache.heads, model.start, cache.blocks * size), np.int8)
    if model.prefix is not None:
        for part, filled in enumerate((model.prefix.keys, model.prefix.values)):
            rows[:, part, ..., : filled.shape[-1]] = filled
    blocks = rows.reshape(*rows.shape[:-1], cache.blocks, size)
    return np.ascontiguousarray(blocks.swapaxes(3, 4))


def _padded(rows: np.ndarray | None, width: int) -> np.ndarray:
    """The rows with zeros behind; no rows for None."""
    if rows is None:
        return np.zeros((0, width), "<i2")
    padded = np.zeros((len(rows), width), "<i2")
    padded[:, : rows.shape[1]] = rows
    return padded
