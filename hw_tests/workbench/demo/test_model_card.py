# SPDX-License-Identifier: Apache-2.0
"""The model card states what was measured on the files beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from meadow.compiler.importers.checkpoint import load_checkpoint
from meadow.golden.perplexity import perplexity
from meadow.golden.tiers.float_tier import FloatModel
from workbench.demo.model_card import Training, heldout_sequences, tell, write_model_card

DEMO = Path(__file__).parents[3] / "workbench" / "demo" / "model"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with only four held-out stories."""
    directory = tmp_path_factory.mktemp("card") / "model"
    shutil.copytree(DEMO, directory)
    stories = (DEMO / "heldout.txt").read_text(encoding="utf-8").splitlines()
    (directory / "heldout.txt").write_text("\n".join(stories[:4]) + "\n", encoding="utf-8")
    return directory


@pytest.mark.slow
def test_card(copy: Path) -> None:
    training = Training(
        command="python -m workbench.demo.train --out DIR --steps 12",
        seed=31,
        heldout_seed=32,
        stories=1234,
        steps=12,
        batch_tokens=512,
        learning_rate=0.25,
        weight_decay=0.125,
        threads=3,
        minutes=7.4,
        versions={"torch": "9.9"},
    )
    measured = write_model_card(copy, training)
    checkpoint = load_checkpoint(copy)
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    sequences = heldout_sequences(copy, tokenizer, 2)
    assert len(sequences) == 4
    assert all(sequence[0] == sequence[-1] == 2 for sequence in sequences)
    model = FloatModel(checkpoint.description, checkpoint.tensors)
    assert measured == perplexity(model.forward, sequences)
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert f"| held-out perplexity | {measured:.4f} per token |" in card
    assert f"| parameters | {checkpoint.description.parameters:,} |" in card
    assert f"the {sum(len(sequence) - 1 for sequence in sequences)} tokens" in card
    assert tell(checkpoint, tokenizer, "Once upon a time")[0] in card
    for part in (training.command, "Seed 31; 1,234 stories", "seed 32", "torch 9.9", "7 minutes"):
        assert part in card, part
    assert "{" not in card


def test_story_that_fills_the_context(copy: Path) -> None:
    """A prompt that leaves no room for an ending is told up to the last position."""
    checkpoint = load_checkpoint(copy)
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    prompt = "Tom"
    while len(tokenizer.encode(prompt + " and Tom").ids) <= 256:
        prompt += " and Tom"
    assert len(tokenizer.encode(prompt).ids) > 252
    story, ended = tell(checkpoint, tokenizer, prompt)
    assert not ended
    assert story.startswith(prompt)
