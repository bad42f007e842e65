# SPDX-License-Identifier: Apache-2.0
"""Folders as they come from the hub: shards, links, pointers, other formats."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hw_tests.meadow.compiler.opt_checkpoint import opt_weights, write
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint
from meadow.compiler.importers.checkpoint_folder import read_json


def test_shards(tmp_path: Path) -> None:
    weights = opt_weights()
    whole = load_checkpoint(write(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    names = list(weights)
    index = {}
    for number, part in enumerate((names[:7], names[7:]), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, tmp_path / shard)
        index |= dict.fromkeys(part, shard)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": index}), encoding="utf-8")
    sharded = load_checkpoint(tmp_path)
    assert list(sharded.tensors) == list(whole.tensors)
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(sharded.tensors[name], array)

    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"there is no 'model-00002-of-00002\.safetensors'"):
        load_checkpoint(tmp_path)
    path.write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"must name files of its own directory"):
        load_checkpoint(tmp_path)
    path.write_text(json.dumps({"weight_map": {}}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"must hold a weight_map, not \{\}"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json must be valid JSON"),
        ("\xff", "config.json must be valid JSON"),
        ("[" * 100_000, "config.json must be valid JSON: maximum recursion depth"),
        ("[1]", r"config.json must hold a JSON object, not \[1\]"),
    ],
)
def test_damaged_configuration(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


LFS_POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 123\n"
)


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(directory)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shards_need_no_index(tmp_path: Path) -> None:
    whole = load_checkpoint(write(tmp_path))
    weights = opt_weights()
    names = list(weights)
    (tmp_path / "model.safetensors").unlink()
    for number, part in enumerate((names[:9], names[9:]), start=1):
        save_file(
            {name: weights[name] for name in part},
            tmp_path / f"model-0000{number}-of-00002.safetensors",
        )
    found = load_checkpoint(tmp_path).tensors
    for name, array in whole.tensors.items():
        np.testing.assert_array_equal(found[name], array)
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    assert refusal(tmp_path) == (
        "the weights are 2 shards; there is no model-00001-of-00002.safetensors"
    )


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"]
)
def test_a_pointer_of_git_lfs_is_named_with_its_command(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "it's a model"
    folder.mkdir()
    write(folder)
    (folder / name).write_text(LFS_POINTER)
    assert refusal(folder) == (
        f"{name} is a pointer of Git LFS, not the file itself: "
        f"cd {shlex.quote(str(folder))} && git lfs pull"
    )


def test_a_shard_may_be_a_pointer_too(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for number in (1, 2):
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_text(LFS_POINTER)
    assert refusal(tmp_path).startswith("model-00001-of-00002.safetensors is a pointer of Git LFS")


def test_a_snapshot_of_links_is_read_and_a_broken_link_is_named(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    whole = load_checkpoint(write(snapshot))
    blobs.mkdir()
    for number, path in enumerate(sorted(snapshot.iterdir())):
        path.rename(blobs / str(number))
        path.symlink_to(Path("..", "..", "blobs", str(number)))
    found = load_checkpoint(snapshot)
    np.testing.assert_array_equal(found.tensors["embed_tokens"], whole.tensors["embed_tokens"])
    assert refusal(tmp_path) == (
        "a checkpoint must hold config.json; this is a model hub's cache folder: "
        f"give a snapshot of it, like {snapshot}"
    )
    for number, name in ((1, "model.safetensors"), (0, "config.json")):
        (blobs / str(number)).unlink()
        assert refusal(snapshot) == (
            f"{name} is a link to ../../blobs/{number}, which is not there: download the file again"
        )


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["pytorch_model.bin"], ["there is pytorch_model.bin", "python -c", "torch.load"]),
        (
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            ["there is pytorch_model-00001-of-00002.bin", "glob.glob('pytorch_model*.bin')"],
        ),
        (["flax_model.msgpack"], ["there is flax_model.msgpack", "from_flax=True"]),
        (["tf_model.h5"], ["there is tf_model.h5", "from_tf=True"]),
        (
            ["flax_model.msgpack", "pytorch_model.bin", "tf_model.h5"],
            ["there is pytorch_model.bin"],
        ),
        (["my model.safetensors"], ["mv 'my model.safetensors' model.safetensors"]),
        (["adapter_model.safetensors"], ["there is adapter_model.safetensors"]),
    ],
)
def test_weights_in_another_format_are_named_with_the_command(
    tmp_path: Path, names: list[str], parts: list[str]
) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for name in names:
        (tmp_path / name).write_bytes(b"PK")
    message = refusal(tmp_path)
    assert message.startswith(
        "a checkpoint must hold model.safetensors or model.safetensors.index.json; there is "
    )
    for part in parts:
        assert part in message
    if "adapter" not in names[0]:
        assert f"cd {shlex.quote(str(tmp_path))} && " in message


def test_a_gguf_file_in_a_folder_is_named_as_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "q4.gguf").write_bytes(b"GGUF")
    alone = f"q4.gguf, which is a checkpoint by itself: give {tmp_path / 'q4.gguf'}"
    assert refusal(tmp_path).endswith(f"; there is {alone}")
    (tmp_path / "config.json").unlink()
    assert refusal(tmp_path).endswith(f", but {alone}")


def test_a_pointer_in_another_format_is_not_worth_converting(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_text(LFS_POINTER)
    assert refusal(tmp_path).startswith("pytorch_model.bin is a pointer of Git LFS")


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_checkpoint(tmp_path).description.width == 8


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "tokenizer.json").mkdir()
    assert refusal(tmp_path) == f"tokenizer.json must be a regular file, not so in {tmp_path}"


def test_half_a_character_is_no_text_and_a_whole_one_is(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": "\\uD83D\\uDE00"}')
    assert read_json(tmp_path, "x.json") == {"a": "\N{GRINNING FACE}"}
    path.write_text('{"a": "\\uD83D"}')
    with pytest.raises(CheckpointError, match=r"x\.json must be valid JSON: .*surrogates"):
        read_json(tmp_path, "x.json")
