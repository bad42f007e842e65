# SPDX-License-Identifier: Apache-2.0
"""A training run of three steps: its files, and that a second run writes the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meadow.compiler.importers.checkpoint import load_checkpoint
from workbench.demo import train


def short_run(directory: Path) -> Path:
    options = ["--steps", "3", "--batch", "2", "--stories", "3000", "--threads", "1"]
    assert train.main(["--out", str(directory), *options]) == 0
    return directory


def test_training_is_fixed_by_its_seed(tmp_path: Path) -> None:
    first, second = short_run(tmp_path / "first"), short_run(tmp_path / "second")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "heldout.txt"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    tensors, again = load_checkpoint(first).tensors, load_checkpoint(second).tensors
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, again[name])
    assert (first / "model.safetensors").stat().st_size < 2_500_000
    card = (first / "README.md").read_text(encoding="utf-8")
    assert "--steps 3 --batch 2 --stories 3000 --threads 1" in card


def test_rate_rises_and_falls() -> None:
    schedule = train.Schedule(stories=1, steps=500, batch=1, warmup=100, learning_rate=1.0)
    rates = [schedule.rate(step) for step in range(500)]
    assert np.argmax(rates) in (99, 100) and max(rates) == 1.0
    assert rates[0] == 0.01
    assert 0.05 <= rates[-1] < 0.06
