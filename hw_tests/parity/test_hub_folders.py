# SPDX-License-Identifier: Apache-2.0
"""Folders of the hub against transformers: conversion commands as they are printed, tied heads,
tokenizers of two files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_model
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from firmware.tokenizer import load_tokenizer
from hw_tests.seeds import salted
from meadow.compiler.importers.checkpoint import CheckpointError, load_checkpoint
from workbench.demo.stories import generate_stories
from workbench.models.tokenizer_files import read_tokenizer

WORDS = 600


@pytest.fixture(scope="module")
def opt() -> transformers.OPTForCausalLM:
    torch.manual_seed(3)
    config = transformers.OPTConfig(
        vocab_size=WORDS,
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=20,
    )
    return transformers.OPTForCausalLM(config)


def said_command(directory: Path) -> str:
    """The command that the refusal of a folder prints."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(directory)
    return "cd " + str(caught.value).split(" by: cd ")[1].rsplit(" (needs ", 1)[0]


@pytest.mark.parametrize("files", [1, 2])
def test_the_printed_command_converts_pytorch_weights(
    opt: transformers.OPTForCausalLM, tmp_path: Path, files: int
) -> None:
    folder = tmp_path / "it's a model"
    opt.save_pretrained(folder)
    expected = load_checkpoint(folder).tensors
    (folder / "model.safetensors").unlink()
    state = opt.state_dict()  # of a tied head both names, on one storage
    assert "lm_head.weight" in state
    names = list(state)
    for index in range(files):
        part = {name: state[name] for name in names[index::files]}
        name = "pytorch_model.bin" if files == 1 else f"pytorch_model-0000{index + 1}-of-00002.bin"
        torch.save(part, folder / name)
    (folder / "training_args.bin").write_bytes(b"no tensors")
    command = said_command(folder)
    assert "\npython" not in command
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(["sh", "-c", command], check=True, env=environment)
    found = load_checkpoint(folder).tensors
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_tied_checkpoint_of_either_name_is_the_model(
    opt: transformers.OPTForCausalLM, tmp_path: Path
) -> None:
    """What safetensors.torch.save_model writes: of tensors that share storage one name is kept."""
    opt.save_pretrained(tmp_path)
    expected = load_checkpoint(tmp_path).tensors
    save_model(opt, str(tmp_path / "model.safetensors"))
    content = (tmp_path / "model.safetensors").read_bytes()
    assert content.count(b'"lm_head.weight"') + content.count(b'embed_tokens.weight"') >= 1
    for name, array in load_checkpoint(tmp_path).tensors.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("settings", ["none", "of OPT", "without opening"])
def test_two_files_encode_as_in_transformers(tmp_path: Path, settings: str) -> None:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(generate_stories(seed=salted(1), count=50), trainer)
    trained.model.save(str(tmp_path))
    token = {"content": "</s>", "lstrip": False, "normalized": True, "rstrip": False}
    token |= {"single_word": False}
    special = {"bos_token": token, "eos_token": token, "unk_token": token, "pad_token": "<pad>"}
    given: dict[str, object] = {}
    if settings == "none":
        given = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>")
        given["add_bos_token"] = True
    else:
        opens = {"add_bos_token": settings == "of OPT", "add_prefix_space": False}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(special | opens))
        (tmp_path / "special_tokens_map.json").write_text(json.dumps(special))
    reference = transformers.GPT2Tokenizer.from_pretrained(tmp_path, **given)
    ours = load_tokenizer(read_tokenizer(tmp_path) or b"")
    for text in (
        "Once upon a time",
        " he  said:\n\n'I'll go'",
        "é€😀",
        "a</s>b <pad>",
        "",
        "\t1 23",
    ):
        expected = reference(text)["input_ids"]
        assert ours.encode(text).ids == expected, text
        assert ours.decode(expected) == reference.decode(
            expected, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
