# SPDX-License-Identifier: Apache-2.0
"""The float tier against logits recorded from transformers, and against itself in chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.golden.activations import relu
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_operators import linear
from meadow.golden.tiers.float_tier import FloatModel

VECTORS = Path(__file__).parents[3] / "parity" / "vectors"
NAMES = ("head16", "width80", "deep")


@pytest.fixture(params=NAMES)
def recorded(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[FloatModel, np.ndarray, np.ndarray]:
    """A recorded random model, its tokens and transformers' logits."""
    record = np.load(VECTORS / f"opt_{request.param}.npz")
    weights = {
        name.removeprefix("weights/"): record[name]
        for name in record.files
        if name.startswith("weights/")
    }
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(str(record["config"]), encoding="utf-8")
    checkpoint = load_checkpoint(tmp_path)
    return (
        FloatModel(checkpoint.description, checkpoint.tensors),
        record["tokens"],
        record["logits"],
    )


Recorded = tuple[FloatModel, np.ndarray, np.ndarray]


def test_vectors_are_small() -> None:
    assert sum(path.stat().st_size for path in VECTORS.glob("*.npz")) < 300_000


def test_logits_are_those_of_transformers(recorded: Recorded) -> None:
    model, tokens, logits = recorded
    found = model.forward(tokens)
    assert found.dtype == np.float32
    assert np.abs(logits).max() > 1, "vectors too small to show a mistake"
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4)


def test_double_precision_goes_through_the_whole_model(recorded: Recorded) -> None:
    model, tokens, logits = recorded
    double = FloatModel(model.description, model.tensors, np.float64)
    cache = double.new_cache(len(tokens))
    seen: list[np.dtype] = []
    found = double.forward(tokens, cache, observe=lambda site, array: seen.append(array.dtype))
    assert set(seen) == {found.dtype} == {cache.keys.dtype} == {np.dtype(np.float64)}
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-4)
    halves = [double.forward(part) for part in (tokens[:1], tokens)]
    np.testing.assert_allclose(halves[0][0], halves[1][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("cuts", [(1,), (5, 6, 7, 20), tuple(range(1, 24))])
def test_chunks_give_the_whole(recorded: Recorded, cuts: tuple[int, ...]) -> None:
    model, tokens, logits = recorded
    cache = FloatCache(model.description)
    parts = [model.forward(part, cache) for part in np.split(tokens, cuts)]
    assert cache.length == len(tokens)
    np.testing.assert_allclose(np.concatenate(parts), logits, rtol=0, atol=1e-4)


def test_observed_sites(recorded: Recorded) -> None:
    model, tokens, _ = recorded
    d = model.description
    seen: dict[str, np.ndarray] = {}
    logits = model.forward(tokens, observe=seen.setdefault)
    per_layer = {
        "qkv_in": d.width,
        "q_out": d.width,
        "k_out": d.width,
        "v_out": d.width,
        "o_in": d.width,
        "residual_attention": d.width,
        "fc1_in": d.width,
        "fc2_in": d.hidden,
        "residual_mlp": d.width,
    }
    order = ["embedding"]
    order += [f"layers.{i}.{site}" for i in range(d.layers) for site in per_layer]
    assert list(seen) == [*order, "head_in"]
    for i in range(d.layers):
        for site, columns in per_layer.items():
            assert seen[f"layers.{i}.{site}"].shape == (len(tokens), columns)

    tensors = model.tensors

    def times(name: str, site: str) -> np.ndarray:
        return linear(seen[site], tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    np.testing.assert_array_equal(times("layers.0.q", "layers.0.qkv_in"), seen["layers.0.q_out"])
    np.testing.assert_array_equal(times("layers.0.v", "layers.0.qkv_in"), seen["layers.0.v_out"])
    np.testing.assert_array_equal(
        seen["embedding"] + times("layers.0.o", "layers.0.o_in"),
        seen["layers.0.residual_attention"],
    )
    np.testing.assert_array_equal(
        relu(times("layers.0.fc1", "layers.0.fc1_in")), seen["layers.0.fc2_in"]
    )
    np.testing.assert_array_equal(
        seen["layers.0.residual_attention"] + times("layers.0.fc2", "layers.0.fc2_in"),
        seen["layers.0.residual_mlp"],
    )
    np.testing.assert_array_equal(linear(seen["head_in"], tensors["embed_tokens"]), logits)


def test_untied_head(recorded: Recorded) -> None:
    model, tokens, logits = recorded
    untied = type(model.description).from_dict(model.description.to_dict() | {"tied_head": False})
    tensors = {**model.tensors, "head": 2 * model.tensors["embed_tokens"]}
    np.testing.assert_allclose(
        FloatModel(untied, tensors).forward(tokens), 2 * logits, rtol=0, atol=2e-4
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([48], "a token must be 0 to 47, not 48"),
        ([3, -1], "a token must be 0 to 47, not -1"),
        ([], "tokens must be a vector of at least one integer"),
        ([[1, 2]], r"tokens must be a vector of at least one integer, not int64 of shape \[1, 2\]"),
        ([1.0], "tokens must be a vector of at least one integer, not float64"),
        ([1] * 25, "position 24 is beyond the cache's 24 positions"),
    ],
)
def test_wrong_tokens(recorded: Recorded, tokens: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recorded[0].forward(tokens)


def test_full_cache_stays_as_it_was(recorded: Recorded) -> None:
    model, tokens, _ = recorded
    cache = FloatCache(model.description, capacity=4)
    model.forward(tokens[:4], cache)
    with pytest.raises(ValueError, match="position 4 is beyond the cache's 4 positions"):
        model.forward(tokens[4:5], cache)
    assert cache.length == 4


def test_a_model_that_keeps_no_tensor_is_the_same(recorded: Recorded) -> None:
    model, tokens, _ = recorded
    taken: list[str] = []

    class Watched(dict[str, np.ndarray]):
        def __getitem__(self, name: str) -> np.ndarray:
            taken.append(name)
            return super().__getitem__(name)

    other = FloatModel(model.description, Watched(model.tensors), resident=False)
    assert taken == []
    np.testing.assert_array_equal(other.forward(tokens), model.forward(tokens))
    assert set(taken) == set(model.description.tensor_shapes)
    before = len(taken)
    other.forward(tokens[:2])
    assert len(taken) == 2 * before


def test_wrong_cache_and_tensors(recorded: Recorded) -> None:
    model = recorded[0]
    with pytest.raises(ValueError, match="a cache must hold 1 to 24 positions, not 25"):
        FloatCache(model.description, capacity=25)
    without = {k: v for k, v in model.tensors.items() if k != "final_norm.bias"}
    with pytest.raises(ValueError, match=r"the model needs the tensor final_norm\.bias"):
        FloatModel(model.description, without)
    wrong = {**model.tensors, "layers.0.q.bias": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=r"layers\.0\.q\.bias must have the shape .*, not \[3\]"):
        FloatModel(model.description, wrong)
