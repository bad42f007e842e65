# SPDX-License-Identifier: Apache-2.0
"""The demo model's card, with every figure measured on the files it describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from meadow.compiler.importers.checkpoint import Checkpoint, load_checkpoint
from meadow.golden.perplexity import perplexity
from meadow.golden.sampling import greedy, sample_top_k
from meadow.golden.tiers.cache import FloatCache
from meadow.golden.tiers.float_tier import FloatModel
from workbench.demo import words

__all__ = [
    "Training",
    "heldout_sequences",
    "heldout_text",
    "stories_of_two_names",
    "tell",
    "write_model_card",
]

TOP_K = 10
NAMED_STORIES = 32


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model was trained, as its card states it."""

    command: str
    seed: int
    heldout_seed: int
    stories: int
    steps: int
    batch_tokens: int
    learning_rate: float
    weight_decay: float
    threads: int
    minutes: float
    versions: dict[str, str]


def heldout_text(directory: Path) -> list[str]:
    """The held-out stories of a demo model, one per line of its heldout.txt."""
    return (directory / "heldout.txt").read_text(encoding="utf-8").splitlines()


def heldout_sequences(directory: Path, tokenizer: Tokenizer, end_token: int) -> list[list[int]]:
    """Token sequences ``</s> story </s>`` of the held-out stories."""
    return [[*tokenizer.encode(text).ids, end_token] for text in heldout_text(directory)]


def tell(
    checkpoint: Checkpoint, tokenizer: Tokenizer, prompt: str, *, sample_seed: int | None = None
) -> tuple[str, bool]:
    """The prompt's continuation in the float tier, and whether it ended by itself.

    Greedy without ``sample_seed``; with one, the next token is drawn from the 10 likeliest.
    """
    description = checkpoint.description
    model = FloatModel(description, checkpoint.tensors)
    cache = FloatCache(description)
    generator = np.random.default_rng(sample_seed)
    tokens: list[int] = tokenizer.encode(prompt).ids
    pending = tokens
    while True:
        logits = model.forward(pending, cache)[-1]
        if sample_seed is None:
            token = greedy(logits)
        else:
            token = sample_top_k(logits, k=TOP_K, generator=generator)
        if token == description.eos_token:
            return tokenizer.decode(tokens), True
        tokens = [*tokens, token]
        pending = [token]
        if cache.length == cache.capacity:
            return tokenizer.decode(tokens), False


def stories_of_two_names(checkpoint: Checkpoint, tokenizer: Tokenizer) -> int:
    """How many of 32 stories, sampled with the seeds 0 to 31, keep to at most two names.

    The generator's stories all do; more names mean that the model lost track of who is who.
    """
    names = {*words.BOYS, *words.GIRLS}
    told = (
        tell(checkpoint, tokenizer, "Once upon a time", sample_seed=seed)[0]
        for seed in range(NAMED_STORIES)
    )
    return sum(len(names & set(re.findall(r"\w+", story))) <= 2 for story in told)


def write_model_card(directory: Path, training: Training) -> float:
    """Measures the checkpoint in ``directory``, writes its README.md, returns the perplexity."""
    checkpoint = load_checkpoint(directory)
    description = checkpoint.description
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    sequences = heldout_sequences(directory, tokenizer, description.eos_token)
    model = FloatModel(description, checkpoint.tensors)
    measured = perplexity(model.forward, sequences)
    samples = [
        ("greedy", tell(checkpoint, tokenizer, "Once upon a time")[0]),
        ("greedy", tell(checkpoint, tokenizer, "Ruby was a")[0]),
        *(
            (
                f"top-{TOP_K}, seed {seed}",
                tell(checkpoint, tokenizer, "Once upon a time", sample_seed=seed)[0],
            )
            for seed in (1, 2)
        ),
    ]
    predicted = sum(len(sequence) - 1 for sequence in sequences)
    text = _CARD.format(
        parameters=description.parameters,
        layers=description.layers,
        width=description.width,
        heads=description.heads,
        head_dim=description.head_dim,
        hidden=description.hidden,
        vocabulary=description.vocabulary,
        max_positions=description.max_positions,
        weights_bytes=(directory / "model.safetensors").stat().st_size,
        perplexity=measured,
        heldout=len(sequences),
        predicted=predicted,
        longest=max(len(sequence) for sequence in sequences),
        named_stories=NAMED_STORIES,
        two_names=stories_of_two_names(checkpoint, tokenizer),
        samples="\n\n".join(f"*{how}* — {story}" for how, story in samples),
        command=training.command,
        seed=training.seed,
        heldout_seed=training.heldout_seed,
        stories=training.stories,
        steps=training.steps,
        batch_tokens=training.batch_tokens,
        total_tokens=training.steps * training.batch_tokens / 1e6,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        threads=training.threads,
        minutes=training.minutes,
        versions=", ".join(f"{name} {version}" for name, version in training.versions.items()),
    )
    (directory / "README.md").write_text(text, encoding="utf-8")
    return measured


_CARD = """\
---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

<!-- Written by workbench.demo.train; figures are measured on the files of this directory. -->

# MEADOW demo model

A very small OPT language model that tells little animal stories. It is there so that the
accelerator can be tried, tested and measured on trained weights without a download.

| | |
|---|---|
| architecture | OPT: pre-norm decoder, learned positions, ReLU, biases, tied head |
| layers, width, MLP | {layers}, {width}, {hidden} |
| heads | {heads} of {head_dim} |
| vocabulary | {vocabulary}, byte-level BPE; `</s>` (2) opens and ends a text, `<pad>` is 1 |
| context | {max_positions} tokens |
| parameters | {parameters:,} |
| weights on disk | {weights_bytes:,} bytes, float16 |
| held-out perplexity | {perplexity:.4f} per token |

The perplexity is over `heldout.txt`: {heldout} stories, each tokenized on its own as
`</s>` + story + `</s>` with `tokenizer.json`; the first `</s>` is given, the {predicted:,} tokens
after it are predicted, all with equal weight. It is computed by the float tier of MEADOW from the
stored float16 weights. The longest of these stories has {longest} tokens.

## Training

```
{command}
```

The command needs the extra `train`. Seed {seed}; {stories:,} stories from this project's own
generator (`workbench/demo/stories.py`), no other text; the held-out stories come from the
generator's seed {heldout_seed} and none of them is a training story. {steps} steps of
{batch_tokens:,} tokens ({total_tokens:.1f} million), rows of 256 tokens, AdamW with learning rate
{learning_rate} (warm-up, then cosine) and weight decay {weight_decay} on matrices, float32. It took
{minutes:.0f} minutes on {threads} threads of a shared CPU with {versions}.
Data and tokenizer are fixed by the seed; the last digits of weights may depend on the machine and
its number of threads.

## Samples

Greedy, and drawn from the 10 likeliest tokens, by the float tier:

{samples}

## Limits

It often loses track of names: of {named_stories} stories sampled with the seeds 0 to 31,
{two_names} keep to the two names that a story should have; in the others somebody is called by a
third one. Sentences, places and he or she are steadier.

The model knows the few hundred words and ten plots of its generator and nothing else: it is no
source of facts, answers no questions and continues an unrelated prompt with a story. Its text is
English for children, but nobody has checked every possible output. A low perplexity here says that
the stories are regular, not that the model is good at English. Do not compare it with the
perplexity of models on natural text.

## Licence

Apache-2.0, as the whole project: generator, stories, tokenizer and weights.
"""
