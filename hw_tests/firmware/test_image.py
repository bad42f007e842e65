# SPDX-License-Identifier: Apache-2.0
"""The reader takes what the compiler wrote and refuses everything else, saying why."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from firmware.image import ImageError, read_image
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image, write_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.machine.machine import Machine
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.spec.commands import Outputs
from meadow.spec.config import named_config
from meadow.spec.contract import contract_hash
from meadow.spec.image import TENSOR_TYPES
from meadow.spec.step import Sequence, Step

SMALL = named_config("small")
MODEL = synthetic_model(
    opt_description(vocabulary=130, max_positions=100, bos_token=0, eos_token=1),
    hidden_block=64,
    seed=salted(0),
    prefix=(0, 3),
)
IMAGE = compile_image(MODEL, SMALL, config_name="small", tokenizer_json=b'{"x": 1}')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_image(IMAGE, tmp_path / "model.meadow")
    return tmp_path / "model.meadow"


def rewrite(path: Path, change: dict[str, object], *, digest: bool = True) -> None:
    """Change manifest fields in the file, with or without a matching checksum."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header["__metadata__"]
    metadata["meadow"] = json.dumps({**json.loads(metadata["meadow"]), **change})
    if digest:
        metadata["meadow_sha256"] = hashlib.sha256(metadata["meadow"].encode()).hexdigest()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[start:])


def test_reads_back_what_was_written(path: Path) -> None:
    image = read_image(path, contract_hash=contract_hash(SMALL).upper())
    assert image.manifest == IMAGE.manifest
    for name in TENSOR_TYPES:
        got, expected = getattr(image, name), getattr(IMAGE, name)
        assert got.dtype == expected.dtype and (got == expected).all()
        assert not got.flags.writeable
    assert image.tokenizer.tobytes() == b'{"x": 1}'


def test_image_alone_runs_a_chunk_and_a_token(path: Path) -> None:
    image, cache = read_image(path), BitTrueModel(MODEL, SMALL).new_cache()
    manifest = image.manifest
    dram = np.zeros(manifest.window_beats(2) * 16, np.uint8)
    dram[: len(image.dram)] = image.dram
    machine = Machine(SMALL, dram)
    image.write_prefix(dram, 1)
    for position, tokens in ((2, [5, 99, 129, 0, 7]), (7, [3])):
        rows = image.embed(tokens, range(position, position + len(tokens)))
        start = manifest.regions["embeddings"].offset * 16
        dram[start : start + rows.nbytes] = rows.reshape(-1).view(np.uint8)
        entry = Sequence(manifest.kv_base(1), position, len(tokens))
        step = Step((entry,), Outputs.LOGITS | Outputs.ARGMAX, head_all=True)
        machine.run_program(manifest.regions["program"].offset, manifest.commands, step)
        expected = BitTrueModel(MODEL, SMALL).forward(tokens, cache)

        def read(first: int, size: int) -> np.ndarray:
            return dram[first : first + size]

        assert (image.logits(read, len(tokens)) == expected).all()
        best, value = image.argmax(read, len(tokens))
        assert best.tolist() == expected.argmax(axis=1).tolist()
        assert value.tolist() == expected.max(axis=1).tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"codecs": ["raw"]},
            "the codec of matrix layers.0.v must be one of raw, not 'dictionary'",
        ),
        ({"baseline": False}, "this configuration has no softmax unit for dataflow gemm: tiny"),
    ],
)
def test_an_image_that_needs_a_part_its_configuration_does_not_have(
    path: Path, change: dict[str, object], message: str
) -> None:
    values = json.loads(IMAGE.manifest.to_json())
    for facts in values["matrices"]:
        facts["codec"] = "dictionary" if facts["name"] == "layers.0.v" else "raw"
    values["dataflow"] = ["tphs", "gemm"]
    config = values["config"] | change
    rewrite(path, values | {"config": config})
    with pytest.raises(ImageError, match=f"cannot be used: {message}"):
        read_image(path)


def test_every_byte_of_every_tensor_is_checked(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    end = start
    for name in TENSOR_TYPES:
        begin, end = end, end + getattr(IMAGE, name).nbytes
        for place in {begin, (begin + end) // 2, end - 1} if end > begin else ():
            data[place] ^= 4
            path.write_bytes(data)
            with pytest.raises(ImageError, match=f"corrupt: wrong checksum of tensor {name}"):
                read_image(path)
            data[place] ^= 4
    path.write_bytes(data)
    read_image(path)


def test_every_shorter_file_is_refused(path: Path) -> None:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    for size in (0, 7, 8, 9, start - 1, start, start + 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ImageError, match="truncated|not a model image: it has only"):
            read_image(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ImageError, match="corrupt: it has .* bytes, its tensors end at"):
        read_image(path)


def test_what_is_no_image(tmp_path: Path) -> None:
    target = tmp_path / "file"
    for content in (b"GGUF" + bytes(100), b"PK\3\4" * 50, (20).to_bytes(8, "little") + b"{" * 40):
        target.write_bytes(content)
        with pytest.raises(ImageError, match=f"{target} is not a model image"):
            read_image(target)
    target.write_bytes((2).to_bytes(8, "little") + b"[]")
    with pytest.raises(ImageError, match="is not a model image"):
        read_image(target)
    target.write_bytes((5 * 10**5).to_bytes(8, "little") + b'{"a":' * 10**5)
    with pytest.raises(ImageError, match="its header is not JSON"):
        read_image(target)
    save_file({"weight": np.zeros(3)}, target)
    with pytest.raises(ImageError, match="a safetensors file without a manifest"):
        read_image(target)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing")


def test_manifest_is_checked(path: Path) -> None:
    rewrite(path, {"context": 7}, digest=False)
    with pytest.raises(ImageError, match="corrupt: wrong checksum of the manifest"):
        read_image(path)
    rewrite(path, {"format_version": 9})
    with pytest.raises(ImageError, match="the image format version must be 3, not 9"):
        read_image(path)
    rewrite(path, {"format_version": 3, "surprise": 1})
    with pytest.raises(ImageError, match="missing or malformed field: .*surprise"):
        read_image(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": "7"}, "context must be a whole number of at least 0, not '7'"),
        ({"commands": -1}, "commands must be a whole number of at least 0, not -1"),
        ({"chunk_tokens": 1.5}, "chunk_tokens must be a whole number of at least 0, not 1.5"),
        ({"contract_hash": None}, "contract_hash must be of type str, not None"),
        ({"logits_scale": "x"}, "logits_scale must be of type float, not 'x'"),
        ({"tensors_sha256": []}, r"tensors_sha256 must be of type Mapping.*, not \[\]"),
        ({"regions": {}}, "the manifest must hold the region argmax"),
        ({"dataflow": ["tphs"]}, "dataflow must name 2 layers, not 1"),
        ({"step": [1]}, r"step must be position and tokens, not \(1,\)"),
        ({"step": "ab"}, "step must be position and tokens"),
        ({"labels": ["a"]}, r"the manifest must hold \d+ labels, not 1"),
        ({"prefix": 7}, "the manifest has a missing or malformed field: 'int' object is not"),
        ({"prefix": [0, 130]}, r"a token of the prefix must be in 0\.\.129, not 130"),
        ({"prefix": [0, "a"]}, r"a token of the prefix must be in 0\.\.129, not 'a'"),
        ({"prefix": [True, 3]}, r"a token of the prefix must be in 0\.\.129, not True"),
        (
            {"prefix": [3]},
            r"tensor prefix must have the shape \[2, 2, .*1, \d+\], not \[2, 2, .*2, ",
        ),
        ({"context": 2}, "context must hold the prefix and at least 1 token more, 3 in all, not 2"),
        ({"end_tokens": [1, 130]}, r"a token of end_tokens must be in 0\.\.129, not 130"),
        ({"chat": "x"}, "the manifest has a missing or malformed field: .*mapping, not str"),
        ({"chat": {"source": 3, "special_tokens": {}}}, "chat.source must be of type str, not 3"),
        ({"logits": []}, "the manifest must hold at least one logits piece and one matrix"),
    ],
)
def test_a_manifest_of_the_wrong_kind(path: Path, change: dict[str, object], message: str) -> None:
    rewrite(path, {"format_version": 3, **change})
    with pytest.raises(ImageError, match=f"cannot be used: {message}"):
        read_image(path)


def test_other_contracts_are_refused_with_both_hashes(path: Path) -> None:
    mine, other = contract_hash(SMALL), contract_hash(named_config("tiny"))
    with pytest.raises(
        ImageError,
        match=rf"compiled for contract {mine[:12]} \(small\), the device has {other[:12]}",
    ):
        read_image(path, contract_hash=other)
    rewrite(path, {"contract_hash": other})
    with pytest.raises(ImageError, match=f"contract {other[:12]}, this version .* {mine[:12]}"):
        read_image(path)


def test_malformed_entries_are_corrupt(path: Path) -> None:
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    moved = [2, 2 + IMAGE.dram.nbytes]
    for change in (
        {"data_offsets": moved},
        {"dtype": "F32"},
        {"shape": [3]},
        {"data_offsets": [16, 32]},
        {"shape": None},
    ):
        header = json.loads(data[8:start])
        header["dram"] |= change
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[start:])
        with pytest.raises(ImageError, match="corrupt: malformed entry of tensor dram"):
            read_image(path)


def test_a_pointer_instead_of_an_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "i.meadow"
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614\nsize 12345\n"
    )
    with pytest.raises(ImageError, match=r"i\.meadow is a pointer of Git LFS.*git lfs pull"):
        read_image(path)
