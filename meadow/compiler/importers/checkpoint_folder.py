# SPDX-License-Identifier: Apache-2.0
"""The files of a checkpoint folder: which there are, and what is said of those that cannot be read.

Folders come from the model hub in several states: links into its cache, pointers of Git LFS instead
of contents, weights in other formats. Each has its own line here, with the command that mends it.
Only files that are part of the model are looked at; whatever else lies in the folder is never
opened.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

__all__ = ["INDEX", "CheckpointError", "file_of", "read_bytes", "read_json", "weight_files"]

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LFS_START = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT_BYTES = 1024
_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")

# Weights in other formats, by the pattern of their names: what converts them, run inside the
# folder.
_FROM_PYTORCH = (
    'python -c "import glob, torch; from safetensors.torch import save_file; '
    "save_file({k: v.contiguous().clone() for f in sorted(glob.glob('{pattern}')) "
    "for k, v in torch.load(f, map_location='cpu', weights_only=True).items()}, "
    "'model.safetensors')\""
)
_FROM_OTHER = (
    'python -c "from transformers import AutoModelForCausalLM as M; '
    "M.from_pretrained('.', {option}).save_pretrained('.')\""
)
_CONVERSIONS = (
    ("pytorch_model*.bin", _FROM_PYTORCH, "needs torch and safetensors"),
    ("*.msgpack", _FROM_OTHER.replace("{option}", "from_flax=True"), "needs transformers 4, flax"),
    ("*.h5", _FROM_OTHER.replace("{option}", "from_tf=True"), "needs transformers 4, tensorflow"),
)


class CheckpointError(ValueError):
    """A checkpoint cannot be imported; the message states the rule and the value found."""


def file_of(directory: Path, name: str) -> Path | None:
    """The file `name` of the folder, links followed; None if there is none.

    CheckpointError for what only looks like it: a link to nowhere, a pointer of Git LFS, a folder
        or device.
    """
    path = directory / name
    if path.is_symlink() and not path.exists():
        raise CheckpointError(
            f"{name} is a link to {os.readlink(path)}, which is not there: download the file again"
        )
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{name} must be a regular file, not so in {directory}")
    if path.stat().st_size < _LFS_LIMIT_BYTES and path.read_bytes().startswith(_LFS_START):
        raise CheckpointError(
            f"{name} is a pointer of Git LFS, not the file itself: "
            f"cd {shlex.quote(str(directory))} && git lfs pull"
        )
    return path


def read_bytes(directory: Path, name: str) -> bytes | None:
    """Content of the file `name`, None if there is none; for small files."""
    path = file_of(directory, name)
    return None if path is None else path.read_bytes()


def read_json(directory: Path, name: str) -> dict[str, Any] | None:
    """The JSON object in the file `name`, with or without byte order mark; None if there is no such
    file.
    """
    content = read_bytes(directory, name)
    if content is None:
        return None
    try:
        value = json.loads(content.decode("utf-8-sig"))
        if b"\\ud" in content.lower():
            # Half of a pair of surrogates is no character, and no text that holds one can be passed
            # on.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} must be valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{name} must hold a JSON object, not {value!r:.40}")
    return value


def weight_files(directory: Path) -> tuple[list[Path], dict[str, str]]:
    """The safetensors files of the weights, and the index's map from tensor to file name, empty
    without an index.

    `model.safetensors`, else the shards that `model.safetensors.index.json` names, else all of
    `model-00001-of-0000N.safetensors`. CheckpointError says what is missing, or what is there in
    another format and how it is converted.
    """
    single = file_of(directory, SINGLE)
    if single is not None:
        return [single], {}
    index = read_json(directory, INDEX)
    if index is None:
        return _unlisted_shards(directory), {}
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{INDEX} must hold a weight_map, not {weight_map!r:.40}")
    places = {str(tensor): str(shard) for tensor, shard in weight_map.items()}
    return [_shard(directory, name) for name in sorted(set(places.values()))], places


def _shard(directory: Path, name: str) -> Path:
    # A shard is a neighbour of its index: a path in its name would read outside the directory.
    usable = name not in ("", ".", "..") and "\0" not in name and Path(name).name == name
    path = file_of(directory, name) if usable else None
    if path is None:
        raise CheckpointError(f"{INDEX} must name files of its own directory; there is no {name!r}")
    return path


def _unlisted_shards(directory: Path) -> list[Path]:
    names = _names(directory)
    found = {match[0]: match for match in map(_SHARD.fullmatch, names) if match}
    if not found:
        raise CheckpointError(_without_weights(directory, names))
    count = max(int(match[2]) for match in found.values())
    wanted = [f"model-{i:05d}-of-{count:05d}.safetensors" for i in range(1, count + 1)]
    missing = next((name for name in wanted if name not in found), None)
    if missing is not None:
        raise CheckpointError(f"the weights are {count} shards; there is no {missing}")
    return [path for path in (file_of(directory, name) for name in wanted) if path is not None]


def _without_weights(directory: Path, names: list[str]) -> str:
    """What to say of a folder without weights that can be read."""
    enter = f"cd {shlex.quote(str(directory))} && "
    rule = f"a checkpoint must hold {SINGLE} or {INDEX}; "
    for pattern, command, needs in _CONVERSIONS:
        name = next((name for name in names if Path(name).match(pattern)), None)
        if name is not None:
            file_of(directory, name)  # a pointer or a link to nowhere is not worth converting
            command = command.replace("{pattern}", pattern).replace("{name}", name)
            return f"{rule}there is {name}, which becomes one by: {enter}{command} ({needs})"
    gguf = next((name for name in names if name.endswith(".gguf")), None)
    if gguf is not None:
        return f"{rule}there is {gguf}, which is a checkpoint by itself: give {directory / gguf}"
    other = [name for name in names if name.endswith(".safetensors")]
    if len(other) == 1 and "adapter" not in other[0]:
        return (
            f"{rule}there is {other[0]}, which may be one under another name: "
            f"{enter}mv {shlex.quote(other[0])} {SINGLE}"
        )
    if other:
        return f"{rule}there is {other[0]}"
    return f"{rule}there is neither in {directory}"


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(directory))
