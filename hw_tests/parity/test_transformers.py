# SPDX-License-Identifier: Apache-2.0
# pyright: reportMissingImports=false
"""The float tier against transformers, live; run by ``make parity``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import tokenizers
import torch
import transformers
from safetensors.numpy import save_file

from hw_tests.parity.reference import in_transformers
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_tier import FloatModel

ROOT = Path(__file__).parents[2]
VECTORS = sorted((ROOT / "hw_tests" / "parity" / "vectors").glob("opt_*.npz"))
DEMO = ROOT / "workbench" / "demo" / "model"
TOLERANCE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def versions(pytestconfig: pytest.Config) -> None:
    """Prints, also when output is captured, what the figures belong to."""
    reporter = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    modules = (torch, transformers, tokenizers, safetensors, np)
    line = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    if reporter is not None:
        reporter.write_line(f"\ncompared with {line}")


@pytest.fixture(params=VECTORS, ids=lambda path: path.stem)
def random_model(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[Path, np.lib.npyio.NpzFile]:
    """A recorded random model as a checkpoint directory, and its record."""
    record = np.load(request.param)
    weights = {
        name.removeprefix("weights/"): record[name].astype(np.float32)
        for name in record.files
        if name.startswith("weights/")
    }
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text(str(record["config"]), encoding="utf-8")
    return tmp_path, record


def test_there_are_vectors() -> None:
    assert len(VECTORS) == 3


def test_whole_sequence(random_model: tuple[Path, np.lib.npyio.NpzFile]) -> None:
    directory, record = random_model
    tokens = record["tokens"].astype(np.int64)
    with torch.no_grad():
        expected = (
            in_transformers(directory, transformers.OPTForCausalLM)(torch.from_numpy(tokens)[None])
            .logits[0]
            .numpy()
        )
    checkpoint = load_checkpoint(directory)
    found = FloatModel(checkpoint.description, checkpoint.tensors).forward(tokens)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(record["logits"], expected, rtol=0, atol=TOLERANCE)


def test_incremental_decode(random_model: tuple[Path, np.lib.npyio.NpzFile]) -> None:
    directory, record = random_model
    tokens = record["tokens"].astype(np.int64)
    theirs = in_transformers(directory, transformers.OPTForCausalLM)
    checkpoint = load_checkpoint(directory)
    ours = FloatModel(checkpoint.description, checkpoint.tensors)
    their_cache, our_cache = None, FloatCache(checkpoint.description)
    for first, last in ((0, 7), (7, 8), (8, 9), (9, 15), *((n, n + 1) for n in range(15, 24))):
        with torch.no_grad():
            output = theirs(
                torch.from_numpy(tokens[first:last])[None],
                past_key_values=their_cache,
                use_cache=True,
            )
        their_cache = output.past_key_values
        found = ours.forward(tokens[first:last], our_cache)
        np.testing.assert_allclose(found, output.logits[0].numpy(), rtol=0, atol=TOLERANCE)


def test_demo_checkpoint() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(DEMO)
    theirs = in_transformers(DEMO, transformers.OPTForCausalLM)
    checkpoint = load_checkpoint(DEMO)
    ours = FloatModel(checkpoint.description, checkpoint.tensors)
    own_tokenizer = tokenizers.Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    for story in (DEMO / "heldout.txt").read_text(encoding="utf-8").splitlines():
        tokens = tokenizer(story).input_ids
        assert tokens == own_tokenizer.encode(story).ids
        assert tokenizer.decode(tokens, skip_special_tokens=True) == story
        with torch.no_grad():
            expected = theirs(torch.tensor([tokens])).logits[0].numpy()
        np.testing.assert_allclose(ours.forward(tokens), expected, rtol=0, atol=TOLERANCE)


def test_demo_generation() -> None:
    """Greedy continuation by transformers' own loop gives the float tier's tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(DEMO)
    theirs = in_transformers(DEMO, transformers.OPTForCausalLM)
    checkpoint = load_checkpoint(DEMO)
    ours = FloatModel(checkpoint.description, checkpoint.tensors)
    prompt = tokenizer("Once upon a time", return_tensors="pt")
    expected = theirs.generate(**prompt, max_new_tokens=40, do_sample=False)[0].tolist()
    tokens = prompt["input_ids"][0].tolist()
    cache = FloatCache(checkpoint.description)
    pending = tokens
    while len(tokens) < len(expected):
        pending = [int(np.argmax(ours.forward(pending, cache)[-1]))]
        tokens = tokens + pending
    assert tokens == expected


def test_stored_configuration_is_valid_json() -> None:
    for path in VECTORS:
        assert json.loads(str(np.load(path)["config"]))["model_type"] == "opt"
