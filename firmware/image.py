# SPDX-License-Identifier: Apache-2.0
"""Reading of an image file with NumPy only: structure, checksums and contract are verified before
anything is used."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from meadow.model.image import Image
from meadow.spec.checks import check_choice
from meadow.spec.contract import contract_hash as hash_of
from meadow.spec.image import DIGEST_KEY, MANIFEST_KEY, TENSOR_TYPES, Manifest
from meadow.spec.parts import require_baseline

__all__ = ["ImageError", "read_image"]

_LENGTH_BYTES = 8
_LFS_START = b"version https://git-lfs.github.com/spec/"
_MAX_HEADER = 1 << 27
_REGIONS = {"program", "embeddings", "logits", "dump"}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "float": (int, float),
    "str": str,
    "tuple": tuple,
    "Mapping": dict,
}
"""By the first word of a manifest field's annotation."""
_DTYPES = {"U8": np.dtype(np.uint8), "I8": np.dtype(np.int8), "I16": np.dtype("<i2")}


class ImageError(ValueError):
    """A file is no image, or not one that can be used; the message says which file and why."""


def read_image(path: str | os.PathLike[str], *, contract_hash: str | None = None) -> Image:
    """The image in `path`; its tensors are read-only views of the mapped file.

    contract_hash: of the device, 64 hexadecimal digits; None skips that comparison.

    ImageError: not an image, truncated, corrupt (naming the tensor), another format version, or
    compiled for another contract. OSError if the file cannot be read.
    """
    name = str(Path(path))
    size = Path(path).stat().st_size
    if size < _LENGTH_BYTES:
        raise ImageError(f"{name} is not a model image: it has only {size} bytes")
    data = np.memmap(path, np.uint8, "r")
    header, start = _header(data, name)
    manifest = _manifest(header, name)
    if contract_hash is not None and manifest.contract_hash != contract_hash.lower():
        raise ImageError(
            f"{name} was compiled for contract {manifest.contract_hash[:12]} "
            f"({manifest.config_name}), the device has {contract_hash.lower()[:12]}"
        )
    tensors = _tensors(data, header, start, name)
    for tensor, array in tensors.items():
        digest = hashlib.sha256(array.data).hexdigest()
        if digest != manifest.tensors_sha256.get(tensor):
            raise ImageError(f"{name} is corrupt: wrong checksum of tensor {tensor}")
    if tensors["prefix"].shape != manifest.prefix_shape:
        raise ImageError(
            f"{name} cannot be used: tensor prefix must have the shape "
            f"{list(manifest.prefix_shape)}, not {list(tensors['prefix'].shape)}"
        )
    return Image(manifest, **tensors)


def _header(data: np.ndarray, name: str) -> tuple[dict[str, Any], int]:
    """The safetensors header and the byte behind it."""
    length = int.from_bytes(data[:_LENGTH_BYTES].tobytes(), "little")
    start = _LENGTH_BYTES + length
    if data[: len(_LFS_START)].tobytes() == _LFS_START:
        raise ImageError(f"{name} is a pointer of Git LFS, not the image itself: git lfs pull")
    if length > _MAX_HEADER or (len(data) > _LENGTH_BYTES and data[_LENGTH_BYTES] != ord("{")):
        raise ImageError(f"{name} is not a model image: it does not start like a safetensors file")
    if start > len(data):
        raise ImageError(
            f"{name} is truncated: its header ends at byte {start}, it has {len(data)} bytes"
        )
    try:
        header = json.loads(data[_LENGTH_BYTES:start].tobytes())
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{name} is not a model image: its header is not JSON") from error
    if not isinstance(header, dict):
        raise ImageError(f"{name} is not a model image: its header is not a JSON object")
    return header, start


def _manifest(header: dict[str, Any], name: str) -> Manifest:
    metadata = header.get("__metadata__")
    text = metadata.get(MANIFEST_KEY) if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(text, str):
        raise ImageError(
            f"{name} is not a model image: it is a safetensors file without a manifest"
        )
    if hashlib.sha256(text.encode()).hexdigest() != metadata.get(DIGEST_KEY):
        raise ImageError(f"{name} is corrupt: wrong checksum of the manifest")
    try:
        manifest = Manifest.from_json(text)
        _check_kinds(manifest)
    except ValueError as error:
        raise ImageError(f"{name} cannot be used: {error}") from error
    except RecursionError as error:
        raise ImageError(f"{name} cannot be used: its manifest is nested too deeply") from error
    if hash_of(manifest.config) != manifest.contract_hash:
        raise ImageError(
            f"{name} was compiled for contract {manifest.contract_hash[:12]}, "
            f"this version of the driver gives {hash_of(manifest.config)[:12]} "
            f"for the same configuration: compile it again"
        )
    return manifest


def _check_kinds(manifest: Manifest) -> None:
    """ValueError naming the first field of the manifest whose value is of the wrong kind."""
    needed = set(_REGIONS)
    if manifest.model.outputs == "tokens":
        needed.add("argmax")
    if manifest.model.rotary_base:
        needed.add("rotary")
    missing = sorted(needed - set(manifest.regions))
    if missing:
        raise ValueError(f"the manifest must hold the region {missing[0]}")
    parts: dict[str, Any] = {"": manifest, "cache.": manifest.cache}
    if manifest.chat is not None:
        parts["chat."] = manifest.chat
    parts |= {f"regions.{name}.": region for name, region in manifest.regions.items()}
    parts |= {f"logits[{index}].": piece for index, piece in enumerate(manifest.logits)}
    parts |= {f"matrices[{index}].": facts for index, facts in enumerate(manifest.matrices)}
    for prefix, part in parts.items():
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            optional = str(field.type).endswith("| None")
            kinds = _KINDS.get(str(field.type).split("[")[0], object)
            is_count = field.type == "int"
            fits = isinstance(value, kinds) or (optional and value is None)
            if is_count:
                fits = isinstance(value, int) and 0 <= value < 1 << 63
            if not fits:
                rule = "a whole number of at least 0" if is_count else f"of type {field.type}"
                raise ValueError(f"{prefix}{field.name} must be {rule}, not {value!r:.40}")
    if not manifest.logits or not manifest.matrices:
        raise ValueError("the manifest must hold at least one logits piece and one matrix")
    for facts in manifest.matrices:
        check_choice(f"the codec of matrix {facts.name}", facts.codec, manifest.config.codecs)
    if "gemm" in manifest.dataflow:
        require_baseline(manifest.config)
    if len(manifest.dataflow) != manifest.model.layers:
        raise ValueError(
            f"dataflow must name {manifest.model.layers} layers, not {len(manifest.dataflow)}"
        )
    if manifest.step is not None and [type(value) for value in manifest.step] != [int, int]:
        raise ValueError(f"step must be position and tokens, not {manifest.step!r:.40}")
    if len(manifest.labels) != manifest.commands:
        raise ValueError(
            f"the manifest must hold {manifest.commands} labels, not {len(manifest.labels)}"
        )
    _check_sequences(manifest)


def _check_sequences(manifest: Manifest) -> None:
    """ValueError unless every sequence can begin behind the prefix, and end."""
    prefix, last = manifest.prefix, manifest.model.vocabulary - 1
    for what, tokens in (("the prefix", prefix), ("end_tokens", manifest.end_tokens)):
        for token in tokens:
            if type(token) is not int or not 0 <= token <= last:
                raise ValueError(f"a token of {what} must be in 0..{last}, not {token!r:.40}")
    if prefix and not manifest.model.causal:
        raise ValueError(
            f"a model that is not causal must have no prefix, not {len(prefix)} tokens"
        )
    if len(prefix) >= manifest.context:
        raise ValueError(
            f"context must hold the prefix and at least 1 token more, {len(prefix) + 1} in all, "
            f"not {manifest.context}"
        )


def _tensors(
    data: np.ndarray, header: dict[str, Any], start: int, name: str
) -> dict[str, np.ndarray]:
    """Views of all tensors; they lie in the order of TENSOR_TYPES, without gaps, up to the end of
    the file."""
    tensors, expected = {}, 0
    for tensor, kind in TENSOR_TYPES.items():
        entry: dict[str, Any] = header.get(tensor) or {}
        try:
            begin, end = entry["data_offsets"]
            shape = tuple(int(size) for size in entry["shape"])
            right = entry["dtype"] == kind and begin == expected and min(shape) >= 0
            right = right and end - begin == math.prod(shape) * _DTYPES[kind].itemsize
        except (KeyError, TypeError, ValueError):
            right, end, shape = False, 0, ()
        if not right:
            raise ImageError(f"{name} is corrupt: malformed entry of tensor {tensor}")
        if start + end > len(data):
            raise ImageError(
                f"{name} is truncated: tensor {tensor} ends at byte {start + end}, "
                f"the file has {len(data)} bytes"
            )
        tensors[tensor] = data[start + expected : start + end].view(_DTYPES[kind]).reshape(shape)
        expected = end
    if start + expected != len(data):
        raise ImageError(
            f"{name} is corrupt: it has {len(data)} bytes, its tensors end at {start + expected}"
        )
    return tensors
