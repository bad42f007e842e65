# SPDX-License-Identifier: Apache-2.0
"""The committed demo model: complete, small, as good as its card says, and able to end a story."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from hw_tests.seeds import recorded, salted
from meadow.compiler.importers.checkpoint import Checkpoint, load_checkpoint
from meadow.golden.perplexity import perplexity
from meadow.golden.tiers.float_tier import FloatModel
from workbench.demo.model_card import (
    heldout_sequences,
    heldout_text,
    stories_of_two_names,
    tell,
)
from workbench.demo.stories import generate_stories, sentences

DEMO = Path(__file__).parents[3] / "workbench" / "demo" / "model"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEMO)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(DEMO / "tokenizer.json"))


@pytest.fixture(scope="module")
def card() -> str:
    return (DEMO / "README.md").read_text(encoding="utf-8")


def on_card(card: str, row: str) -> float:
    """The number in a row of the card's table."""
    found = re.search(rf"^\| {row} \| ([\d.,]+)", card, re.MULTILINE)
    assert found is not None, row
    return float(found[1].replace(",", ""))


def test_size_in_git() -> None:
    assert sum(path.stat().st_size for path in DEMO.iterdir()) < 4_000_000
    assert (DEMO / "model.safetensors").stat().st_size <= 2_500_000


def test_description(checkpoint: Checkpoint, tokenizer: Tokenizer, card: str) -> None:
    d = checkpoint.description
    assert (d.layers, d.width, d.heads, d.head_dim, d.hidden) == (4, 128, 4, 32, 512)
    assert (d.vocabulary, d.max_positions, d.tied_head) == (1024, 256, True)
    assert d.parameters == sum(array.size for array in checkpoint.tensors.values())
    assert on_card(card, "parameters") == d.parameters
    assert on_card(card, "weights on disk") == (DEMO / "model.safetensors").stat().st_size
    assert tokenizer.get_vocab_size() == 1024
    assert (tokenizer.token_to_id("<pad>"), tokenizer.token_to_id("</s>")) == (1, 2)
    assert (d.bos_token, d.eos_token) == (2, 2)
    assert checkpoint.tokenizer_json == (DEMO / "tokenizer.json").read_bytes()


def test_tokenizer_round_trip(tokenizer: Tokenizer) -> None:
    for text in (*heldout_text(DEMO), "Grüße, 42 ¿…?"):
        ids = tokenizer.encode(text).ids
        assert ids[0] == 2 and 2 not in ids[1:]
        assert tokenizer.decode(ids) == text


@pytest.mark.slow
def test_heldout_stories_are_held_out(card: str) -> None:
    """Rebuilt from the card's seeds: the same stories, none of which was trained on."""
    stories = heldout_text(DEMO)
    seed = re.search(r"Seed (\d+); ([\d,]+) stories", card)
    heldout_seed = re.search(r"generator's seed (\d+)", card)
    assert seed is not None and heldout_seed is not None
    training = generate_stories(seed=recorded(int(seed[1])), count=int(seed[2].replace(",", "")))
    assert len(set(stories)) == 64
    assert not set(stories) & set(training)
    assert stories == generate_stories(
        seed=recorded(int(heldout_seed[1])), count=64, exclude=training
    )


def test_perplexity_is_the_cards(checkpoint: Checkpoint, tokenizer: Tokenizer, card: str) -> None:
    sequences = heldout_sequences(DEMO, tokenizer, checkpoint.description.eos_token)
    model = FloatModel(checkpoint.description, checkpoint.tensors)
    measured = perplexity(model.forward, sequences)
    assert measured == pytest.approx(on_card(card, "held-out perplexity"), rel=0.005)


@pytest.mark.parametrize(
    "prompt", ["Once upon a time", "Ruby was a", "Tom", "One day,", "Long ago, an old", "The"]
)
def test_greedy_stories_end(checkpoint: Checkpoint, tokenizer: Tokenizer, prompt: str) -> None:
    story, ended = tell(checkpoint, tokenizer, prompt)
    assert ended, story
    assert story.startswith(prompt)
    parts = sentences(story)
    assert 4 <= len(parts) <= 12, story
    assert len(set(parts)) == len(parts), f"a sentence twice: {story}"


def test_sampled_stories_use_known_words(checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
    """Nearly all words are words of the generator, and every story ends."""
    known = set(re.findall(r"\w+", " ".join(generate_stories(seed=salted(3), count=3000))))
    for seed in range(12):
        story, ended = tell(checkpoint, tokenizer, "Once upon a time", sample_seed=salted(seed))
        assert ended, story
        told = re.findall(r"\w+", story)
        assert np.mean([word in known for word in told]) > 0.98, story


def test_stories_of_two_names_are_the_cards(
    checkpoint: Checkpoint, tokenizer: Tokenizer, card: str
) -> None:
    """The card owns up to lost names; rounding of another machine may change a story or two."""
    stated = re.search(r"seeds 0 to 31,\n(\d+) keep to the two names", card)
    assert stated is not None
    assert abs(stories_of_two_names(checkpoint, tokenizer) - int(stated[1])) <= 2
