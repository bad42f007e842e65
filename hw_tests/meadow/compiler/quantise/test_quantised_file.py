# SPDX-License-Identifier: Apache-2.0
"""Quantised models to a file and back, bit for bit; a file that is none runs nothing."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from hw_tests.test_floors import FLOORS, ROOT, imports
from meadow.compiler.quantise.quantised_file import (
    QuantisedFileError,
    read_quantised,
    write_quantised,
)
from meadow.compiler.synthetic import synthetic_model
from meadow.model.quantised import QuantisedModel
from meadow.spec.families import FAMILIES


def assert_same(one: Any, other: Any, where: str = "model") -> None:
    """Equal types, fields, shapes and bits all the way down."""
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape, where
        assert one.tobytes() == other.tobytes(), where
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{index}")
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            name = field.name
            assert_same(getattr(one, name), getattr(other, name), f"{where}.{name}")
    else:
        assert one == other, where


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", ["random", "synthetic"])
def test_a_model_of_every_family_comes_back_bit_for_bit(
    tmp_path: Path, family: str, source: str
) -> None:
    description = family_description(family)
    model: QuantisedModel = (
        random_model(description)
        if source == "random"
        else synthetic_model(
            description,
            hidden_block=10,
            seed=salted(3),
            prefix=(1, 0) if description.causal else (),
        )
    )
    notes = {"granularity": "channel", "alpha": 0.1, "warnings": ["é", "b"], "none": None}
    model = dataclasses.replace(model, notes=notes, residual_scale=1 / 3)
    path = tmp_path / "model.npz"
    write_quantised(model, path)
    assert_same(read_quantised(path), model)
    assert b"pickle" not in path.read_bytes()


class Trap:
    """An object whose pickle leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["pickle", "array of objects", "member of objects"])
def test_a_file_that_runs_something_is_refused(tmp_path: Path, form: str) -> None:
    path, sprung = tmp_path / "model.npz", tmp_path / "sprung"
    trap = np.array([Trap(sprung)], dtype=object)
    with path.open("wb") as file:
        if form == "pickle":
            pickle.dump(Trap(sprung), file)
        elif form == "array of objects":
            np.save(file, trap, allow_pickle=True)
        else:
            np.savez(file, model=trap)
    with pytest.raises(QuantisedFileError, match="model.npz holds no quantised model"):
        read_quantised(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"format": 2, "model": 1}',
        '{"format": 1, "model": 1}',
        '{"format": 1, "model": {"part": "Path", "fields": {}}}',
        '{"format": 1, "model": {"part": "QuantisedModel", "fields": {"x": 1}}}',
        '{"format": 1, "model": {"array": "absent"}}',
    ],
)
def test_a_file_of_other_content_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, model=np.frombuffer(text.encode(), np.uint8))
    with pytest.raises(QuantisedFileError, match="model.npz holds no quantised model"):
        read_quantised(path)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_a_cut_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "model.npz"
    write_quantised(random_model(family_description("opt")), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(QuantisedFileError, match="model.npz holds no quantised model"):
        read_quantised(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = random_model(family_description("opt"))
    write_quantised(model, path)
    content = bytearray(path.read_bytes())
    content[content.find(model.head.weight.tobytes()[:64]) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(QuantisedFileError, match="holds no quantised model: Bad CRC-32"):
        read_quantised(path)


def test_no_source_of_the_product_loads_what_could_run_something() -> None:
    """pickle and what is built on it; NumPy's loaders unless they are told not to."""
    found = []
    for folder in FLOORS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            modules = {name.split(".")[0] for name in imports(path)}
            found += [
                f"{path}: {name}" for name in modules & {"pickle", "shelve", "marshal", "dill"}
            ]
            if "allow_pickle=True" in path.read_text("utf-8"):
                found.append(f"{path}: allow_pickle")
    assert found == []
