# SPDX-License-Identifier: Apache-2.0
"""GGUF files byte by byte: types that are dequantised, and files that are cut short or corrupt."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint_folder import CheckpointError
from meadow.compiler.importers.gguf_file import GgufFile, is_gguf, open_gguf

Kind = gguf.GGMLQuantizationType


def written(path: Path, kind: Kind, rows: np.ndarray) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "d"])
    writer.add_uint32("llama.block_count", 1)
    packed = rows if kind == Kind.F32 else gguf.quantize(rows, kind)
    writer.add_tensor("one.weight", packed, raw_dtype=kind)
    writer.add_tensor("norm.weight", rows[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(salted(4)).normal(size=(6, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("F32", 0.0),
        ("F16", 2**-11),
        ("BF16", 2**-8),
        ("Q8_0", 1 / 127),
        ("Q5_1", 1 / 31),
        ("Q4_0", 1 / 8),
        ("Q4_1", 1 / 15),
    ],
)
def test_a_tensor_is_what_was_packed_but_for_its_type(
    tmp_path: Path, rows: np.ndarray, name: str, steps: float
) -> None:
    file = GgufFile(written(tmp_path / "m.gguf", Kind[name], rows))
    assert list(file) == ["one.weight", "norm.weight"] and len(file) == 2
    assert file.shape("one.weight") == (6, 64) and file.shape("norm.weight") == (64,)
    found = file.read("one.weight")
    assert found.dtype == np.float32
    span = rows.reshape(6, 2, 32).max(axis=2) - rows.reshape(6, 2, 32).min(axis=2)
    assert (np.abs(found - rows) <= np.repeat(span, 32, axis=1) * steps).all()
    np.testing.assert_array_equal(file.read("norm.weight"), rows[0])
    assert file.value("tokenizer.ggml.tokens") == ["a", "bc", "d"]
    assert file.value("llama.block_count") == 1 and file.value("absent") is None


def test_a_file_cut_anywhere_is_refused_in_one_line(tmp_path: Path, rows: np.ndarray) -> None:
    content = written(tmp_path / "m.gguf", Kind.F16, rows).read_bytes()
    cut = tmp_path / "cut.gguf"
    # The last bytes are the padding behind the last tensor.
    lengths = {*range(0, 600, 7), *range(600, len(content) - 31, 97), len(content) - 33}
    for length in sorted(lengths):
        cut.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"^cut\.gguf (is cut short|must begin)") as said:
            GgufFile(cut)
        assert "\n" not in str(said.value)


def test_damage_is_refused_or_changes_a_value_but_never_anything_else(
    tmp_path: Path, rows: np.ndarray
) -> None:
    content = written(tmp_path / "m.gguf", Kind.F16, rows).read_bytes()
    random = np.random.default_rng(salted(9))
    damaged, refusals = tmp_path / "damaged.gguf", 0
    for _ in range(400):
        bytes_ = bytearray(content)
        at = int(random.integers(0, 400))
        bytes_[at] ^= 1 << int(random.integers(0, 8))
        damaged.write_bytes(bytes(bytes_))
        try:
            file = GgufFile(damaged)
            for name in file:
                file.read(name)
        except CheckpointError as error:
            refusals += 1
            assert str(error).startswith(("damaged.gguf ", "one.weight", "norm.weight"))
    assert refusals > 100


def test_a_type_without_dequantisation_is_named_with_those_that_have_one(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("ids.weight", np.arange(8, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = r"ids\.weight of m\.gguf must be of a type .*F32, F16, Q4_0.*BF16.*, not I32"
    with pytest.raises(CheckpointError, match=expected):
        GgufFile(tmp_path / "m.gguf")


def test_a_file_is_opened_once_until_another_takes_its_place(
    tmp_path: Path, rows: np.ndarray
) -> None:
    path = written(tmp_path / "m.gguf", Kind.F32, rows)
    assert open_gguf(path) is open_gguf(path)
    first = open_gguf(path)
    path.unlink()
    written(path, Kind.F32, rows[:4])
    assert open_gguf(path) is not first
    assert open_gguf(path).shape("one.weight") == (4, 64)


def test_a_file_is_known_by_its_first_bytes_or_its_name(tmp_path: Path) -> None:
    for name, content, expected in (
        ("m.gguf", b"", True),
        ("model", b"GGUF and more", True),
        ("model.meadow", b"MEADOW", False),
    ):
        (tmp_path / name).write_bytes(content)
        assert is_gguf(tmp_path / name) is expected
    assert not is_gguf(tmp_path) and not is_gguf(tmp_path / "none.gguf")
