# SPDX-License-Identifier: Apache-2.0
# pyright: reportMissingImports=false
"""Llama and Qwen2 against transformers: the float tier's logits, whole and token by token, from
directories and from GGUF files, and rotary positions that are scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from hw_tests.meadow.compiler.llama_checkpoint import SHAPES, config_of, llama_weights
from hw_tests.parity.reference import in_transformers
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_tier import FloatModel
from workbench.campaigns.llama_files import write_directory, write_gguf

TOLERANCE = 1e-4
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def tokens_of(config: dict[str, Any], seed: int = 3) -> np.ndarray:
    count = config["max_position_embeddings"]
    return np.random.default_rng(salted(seed)).integers(0, config["vocab_size"], count)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_logits_are_those_of_transformers(tmp_path: Path, architecture: str, shape: str) -> None:
    config = config_of(architecture, shape, tie_word_embeddings=shape == "deep")
    weights = llama_weights(config)
    directory = write_directory(tmp_path / "model", config, weights, shards=2)
    tokens = tokens_of(config)
    theirs = in_transformers(directory, transformers.AutoModelForCausalLM)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(tokens)[None]).logits[0].numpy()
    assert np.abs(expected).max() > 1
    file = write_gguf(tmp_path / "model.gguf", config, weights)
    for source in (directory, file):
        checkpoint = load_checkpoint(source)
        ours = FloatModel(checkpoint.description, checkpoint.tensors)
        np.testing.assert_allclose(ours.forward(tokens), expected, rtol=0, atol=TOLERANCE)
        cache = FloatCache(checkpoint.description)
        for first, last in ((0, 7), (7, 8), (8, 30), *((n, n + 1) for n in range(30, 40))):
            found = ours.forward(tokens[first:last], cache)
            np.testing.assert_allclose(found, expected[first:last], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "scaling", [{"rope_type": "linear", "factor": 3.0}, LLAMA3, {"rope_type": "default"}]
)
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_scaled_positions_are_those_of_transformers(
    tmp_path: Path, scaling: dict[str, Any], key: str
) -> None:
    base = {"rope_theta": 1000.0} if key == "rope_parameters" else {}
    config = config_of("llama", "narrow", **{key: scaling | base})
    directory = write_directory(tmp_path, config, llama_weights(config))
    tokens = tokens_of(config)
    with torch.no_grad():
        expected = (
            in_transformers(directory, transformers.AutoModelForCausalLM)(
                torch.from_numpy(tokens)[None]
            )
            .logits[0]
            .numpy()
        )
    checkpoint = load_checkpoint(directory)
    ours = FloatModel(checkpoint.description, checkpoint.tensors).forward(tokens)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_what_transformers_saves_is_imported(tmp_path: Path, architecture: str) -> None:
    """Configurations as today's transformers writes them, with fields of its own."""
    torch.manual_seed(salted(5))
    kind = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config}[architecture]
    config = kind(
        vocab_size=300,
        hidden_size=72,
        intermediate_size=172,
        num_hidden_layers=2,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    model.save_pretrained(tmp_path)
    tokens = np.random.default_rng(salted(6)).integers(0, 300, 50)
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)[None]).logits[0].numpy()
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.description.rotary_base == config.rope_parameters["rope_theta"]
    assert checkpoint.description.norm_epsilon == config.rms_norm_eps
    ours = FloatModel(checkpoint.description, checkpoint.tensors).forward(tokens)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)
