# SPDX-License-Identifier: Apache-2.0
"""Types of stored tensors, and every damage to a file by its message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_tests.meadow.compiler.opt_checkpoint import PREFIX, opt_weights, write, write_raw
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint


def test_float16(tmp_path: Path) -> None:
    weights = opt_weights()
    found = load_checkpoint(write(tmp_path, {k: v.astype(np.float16) for k, v in weights.items()}))
    assert all(array.dtype == np.float32 for array in found.tensors.values())
    np.testing.assert_array_equal(
        found.tensors["embed_tokens"], weights[f"{PREFIX}embed_tokens.weight"]
    )


def test_bfloat16(tmp_path: Path) -> None:
    """bfloat16 keeps sign, exponent and 7 mantissa bits: cutting float32 is exact for those."""
    write(tmp_path)
    cut = {k: v.view(np.uint32) >> 16 for k, v in opt_weights().items()}
    write_raw(
        tmp_path / "model.safetensors",
        {k: ("BF16", list(v.shape), v.astype("<u2").tobytes()) for k, v in cut.items()},
    )
    found = load_checkpoint(tmp_path).tensors["layers.0.q.weight"]
    kept = cut[f"{PREFIX}layers.0.self_attn.q_proj.weight"].astype(np.uint32) << 16
    np.testing.assert_array_equal(found, kept.view(np.float32))
    original = opt_weights()[f"{PREFIX}layers.0.self_attn.q_proj.weight"]
    np.testing.assert_allclose(found, original, rtol=2**-7)


def test_other_types_are_refused(tmp_path: Path) -> None:
    weights = opt_weights()
    name = f"{PREFIX}embed_tokens.weight"
    with pytest.raises(CheckpointError, match=f"{name} must be of F32, F16, BF16, not F64"):
        load_checkpoint(write(tmp_path, weights | {name: weights[name].astype(np.float64)}))


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    content = path.read_bytes()
    for kept in (0, 7, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(CheckpointError, match=r"model.safetensors is truncated"):
            load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32"}, "its header is unreadable"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}, "its header is unreadable"),
        ({"dtype": "F32", "shape": 4, "data_offsets": [0, 4]}, "its header is unreadable"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "needs 8 bytes, not 4"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}, "needs 4 bytes, not 0"),
        ({"dtype": "F32", "shape": [1], "data_offsets": [0]}, "its header is unreadable"),
        ([], "its header is unreadable"),
        ({"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}, "x has 70 dimensions"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}, "end at data byte 2 of 4"),
        ({"dtype": "F16", "shape": [1], "data_offsets": [2, 4]}, "gap .* at data byte 0"),
    ],
)
def test_damaged_header(tmp_path: Path, entry: Any, message: str) -> None:
    write(tmp_path)
    text = json.dumps({"x": entry}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(CheckpointError, match=f"is corrupt: .*{message}"):
        load_checkpoint(tmp_path)


def test_header_that_is_no_json(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    path.write_bytes((4).to_bytes(8, "little") + b"\xff{}}" + bytes(9))
    with pytest.raises(CheckpointError, match="is corrupt: its header is unreadable"):
        load_checkpoint(tmp_path)
    path.write_bytes((10**5).to_bytes(8, "little") + b"[" * 10**5)
    with pytest.raises(CheckpointError, match="is corrupt: its header is unreadable"):
        load_checkpoint(tmp_path)


def test_a_byte_too_many_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="is corrupt: its tensors end at data byte"):
        load_checkpoint(tmp_path)


def test_a_header_longer_than_any_is_not_taken_into_memory(tmp_path: Path) -> None:
    path = write(tmp_path) / "model.safetensors"
    with path.open("wb") as file:
        file.write((4 << 30).to_bytes(8, "little"))
        file.truncate(5 << 30)  # a hole, which takes no room
    with pytest.raises(CheckpointError, match="header must have at most 100000000 bytes, not 4294"):
        load_checkpoint(tmp_path)
