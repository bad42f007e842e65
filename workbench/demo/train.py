# SPDX-License-Identifier: Apache-2.0
# pyright: reportMissingImports=false
"""Trains the demo model: ``python -m workbench.demo.train --out DIR``.

Writes an OPT checkpoint in the layout of the transformers library (float16 weights), the
tokenizer, the held-out stories and a model card whose figures are measured on the written files.
Needs the extra ``train`` (torch, transformers).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers
from rich.console import Console
from rich.progress import Progress, TextColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from workbench.demo.model_card import Training, write_model_card
from workbench.demo.stories import generate_stories

__all__ = ["main"]

SEED = 2025
HELDOUT_SEED = 1_000_003
HELDOUT_COUNT = 64
SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # the order of OPT's own vocabulary
PAD, END = 1, 2
VOCABULARY = 1024
POSITIONS = 256


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Length and size of a training run.

    stories : training stories; batch : rows of 256 tokens per step; the learning rate rises over
    ``warmup`` steps and falls along a half cosine to a twentieth.
    """

    stories: int
    steps: int
    batch: int
    warmup: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 0.1

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


def train_tokenizer(stories: list[str]) -> Tokenizer:
    """Byte-level BPE of exactly 1024 tokens that puts ``</s>`` before a text, as OPT's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        stories,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="</s> $A", pair="</s> $A $B", special_tokens=[("</s>", END)]
    )
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise ValueError(
            f"the tokenizer must have {VOCABULARY} tokens, not {tokenizer.get_vocab_size()}"
        )
    return tokenizer


def packed_rows(
    tokenizer: Tokenizer, stories: list[str], generator: np.random.Generator
) -> torch.Tensor:
    """Rows ``[rows, 256]`` of whole stories one after another, the last one of a row cut off.

    Every row begins with a story at position 0; what follows trains the later positions.
    """
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(stories)]
    order = generator.permutation(len(encoded))
    rows: list[list[int]] = []
    row: list[int] = []
    for index in order:
        row += encoded[index]
        if len(row) >= POSITIONS:
            rows.append(row[:POSITIONS])
            row = []
    return torch.tensor(rows, dtype=torch.long)


def build_model() -> transformers.OPTForCausalLM:
    """OPT of the demo's size with fresh weights."""
    return transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=VOCABULARY,
            hidden_size=128,
            word_embed_proj_dim=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            ffn_dim=512,
            max_position_embeddings=POSITIONS,
            activation_function="relu",
            do_layer_norm_before=True,
            dropout=0.0,
            init_std=0.04,
            pad_token_id=PAD,
            bos_token_id=END,
            eos_token_id=END,
        )
    )


def train_model(
    model: transformers.OPTForCausalLM,
    tokenizer: Tokenizer,
    stories: list[str],
    schedule: Schedule,
    console: Console,
) -> None:
    """Trains in place; weight decay on matrices and embeddings only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": schedule.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        fused=True,
    )
    generator = np.random.default_rng(SEED)
    rows = packed_rows(tokenizer, stories, generator)
    first = 0
    model.train()
    with Progress(
        *Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}"), console=console
    ) as progress:
        task = progress.add_task("training", total=schedule.steps, loss=math.nan)
        for step in range(schedule.steps):
            if first + schedule.batch > len(rows):
                rows, first = packed_rows(tokenizer, stories, generator), 0
            batch = rows[first : first + schedule.batch]
            first += schedule.batch
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(step)
            loss = model(input_ids=batch, labels=batch).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            progress.update(task, advance=1, loss=loss.item())
            if step % 100 == 0 and not console.is_terminal:
                console.print(f"step {step} of {schedule.steps}: loss {loss.item():.4f}")
    model.eval()


def save(model: transformers.OPTForCausalLM, tokenizer: Tokenizer, directory: Path) -> None:
    """Weights as float16, configuration and tokenizer."""
    model.half().save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)
    tokenizer.save(str(directory / "tokenizer.json"))
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "model_max_length": POSITIONS,
        "clean_up_tokenization_spaces": False,
    }
    (directory / "tokenizer_config.json").write_text(
        json.dumps(tokenizer_config, indent=2) + "\n", encoding="utf-8"
    )


def main(arguments: list[str] | None = None) -> int:
    """Trains, writes and measures; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train the demo model of MEADOW.")
    parser.add_argument("--out", type=Path, required=True, help="directory for the checkpoint")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16, help="rows of 256 tokens per step")
    parser.add_argument("--stories", type=int, default=60_000, help="training stories")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)

    console = Console(stderr=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(options.threads)
    schedule = Schedule(stories=options.stories, steps=options.steps, batch=options.batch)
    started = time.monotonic()
    stories = generate_stories(seed=SEED, count=schedule.stories)
    heldout = generate_stories(seed=HELDOUT_SEED, count=HELDOUT_COUNT, exclude=stories)
    tokenizer = train_tokenizer(stories)
    model = build_model()
    train_model(model, tokenizer, stories, schedule, console)
    seconds = time.monotonic() - started

    options.out.mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, options.out)
    (options.out / "heldout.txt").write_text("\n".join(heldout) + "\n", encoding="utf-8")
    measured = write_model_card(
        options.out,
        Training(
            command=(
                f"python -m workbench.demo.train --out DIR --steps {options.steps} "
                f"--batch {options.batch} --stories {options.stories} --threads {options.threads}"
            ),
            seed=SEED,
            heldout_seed=HELDOUT_SEED,
            stories=schedule.stories,
            steps=schedule.steps,
            batch_tokens=schedule.batch * POSITIONS,
            learning_rate=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            threads=options.threads,
            minutes=seconds / 60,
            versions={
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
        ),
    )
    console.print(f"held-out perplexity {measured:.4f}, written to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
