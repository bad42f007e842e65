# SPDX-License-Identifier: Apache-2.0
"""A very small OPT checkpoint of random weights with a tokenizer of single characters, and small
workloads.
"""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, processors

from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.spec.families import FAMILIES
from workbench.bench.workloads import WORKLOADS

CHARACTERS = string.ascii_letters + string.digits + " .,!?'"
WIDTH, HIDDEN, HEADS, LAYERS, POSITIONS = 32, 64, 2, 2, 64


def write_checkpoint(directory: Path, *, tokenizer: bool = True) -> Path:
    """Write config.json, model.safetensors and tokenizer.json of a model that says nonsense."""
    vocabulary = {"<unk>": 0, "<pad>": 1, "</s>": 2}
    vocabulary |= {character: 3 + index for index, character in enumerate(CHARACTERS)}
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "opt",
        "activation_function": "relu",
        "bos_token_id": 2,
        "eos_token_id": 2,
        "do_layer_norm_before": True,
        "enable_bias": True,
        "ffn_dim": HIDDEN,
        "hidden_size": WIDTH,
        "layer_norm_elementwise_affine": True,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "tie_word_embeddings": True,
        "vocab_size": len(vocabulary),
        "word_embed_proj_dim": WIDTH,
    }
    (directory / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(salted(3))

    def normal(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    tensors = {
        "model.decoder.embed_tokens.weight": normal(len(vocabulary), WIDTH),
        "model.decoder.embed_positions.weight": normal(POSITIONS + 2, WIDTH),
    }
    norms = ["model.decoder.final_layer_norm"]
    for layer in range(LAYERS):
        prefix = f"model.decoder.layers.{layer}."
        norms += [prefix + "self_attn_layer_norm", prefix + "final_layer_norm"]
        for name, outputs, inputs in (
            *((f"self_attn.{part}_proj", WIDTH, WIDTH) for part in ("q", "k", "v", "out")),
            ("fc1", HIDDEN, WIDTH),
            ("fc2", WIDTH, HIDDEN),
        ):
            tensors[f"{prefix}{name}.weight"] = normal(outputs, inputs)
            tensors[f"{prefix}{name}.bias"] = normal(outputs)
    for name in norms:
        tensors[name + ".weight"] = 1 + normal(WIDTH)
        tensors[name + ".bias"] = normal(WIDTH)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    if tokenizer:
        made = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
        made.add_special_tokens(["<unk>", "<pad>", "</s>"])
        made.post_processor = processors.TemplateProcessing(
            single="</s> $A", special_tokens=[("</s>", 2)]
        )
        made.decoder = decoders.Fuse()
        made.save(str(directory / "tokenizer.json"))
    return directory


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model")


@pytest.fixture(scope="session")
def silent_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without a tokenizer."""
    return write_checkpoint(tmp_path_factory.mktemp("silent") / "model", tokenizer=False)


@pytest.fixture
def small_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workloads opt, llama, vit and bert of a size that is simulated in a second."""
    for name in FAMILIES:
        sizes: dict[str, int] = {"width": 32, "head_dim": 16, "hidden": 48, "vocabulary": 40}
        monkeypatch.setitem(WORKLOADS, name, family_description(name, **sizes))  # pyright: ignore[reportArgumentType]
