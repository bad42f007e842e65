# SPDX-License-Identifier: Apache-2.0
"""Sequences that begin behind a prefix, on the co-simulated chip: equal to the bit-true tier."""

from __future__ import annotations

import numpy as np
import pytest

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.session import Session
from hw_tests.models import family_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.golden.tiers.cache import KeyValueCache
from meadow.model.image import cache_rows
from meadow.spec.commands import Outputs
from meadow.spec.config import named_config

pytestmark = pytest.mark.sim

TINY = named_config("tiny")
BOTH = Outputs.ARGMAX | Outputs.LOGITS


def drawn(count: int, seed: int) -> list[int]:
    return np.random.default_rng(salted(seed)).integers(0, 60, count).tolist()


class Pair:
    """Two sequences of a chip and of golden, side by side."""

    def __init__(self, family: str, prefix: tuple[int, ...], head_dim: int) -> None:
        description = family_description(
            family, width=2 * head_dim, head_dim=head_dim, vocabulary=60, max_positions=96
        )
        model = synthetic_model(description, seed=salted(len(prefix)), prefix=prefix)
        self.image = compile_image(model, TINY, config_name="tiny", tokenizer_json="{}")
        self.golden = BitTrueModel(model, TINY)
        self.device = CosimDevice(
            TINY,
            Session.window_bytes(self.image, 2),
            settings=DramSettings(seed=salted(1), stalls=60, latency_cycles=20),
            timeout_cycles=20_000_000,
        )
        self.device.memory[:] = 0xA5  # what an earlier session left
        self.begin()

    def begin(self) -> None:
        """Another session on the same chip."""
        self.session = Session(self.device, self.image, sequences=2)
        self.caches: list[KeyValueCache] = [self.golden.new_cache() for _ in range(2)]

    def step(self, tokens: dict[int, list[int]]) -> None:
        """New tokens; every logit of every row."""
        result = self.session.step(tokens, outputs=BOTH, head_all=True)
        expected = [self.golden.forward(new, self.caches[who]) for who, new in tokens.items()]
        assert np.array_equal(result.logits, np.concatenate(expected))
        assert self.session.positions == [cache.length for cache in self.caches]

    def prompt(self, tokens: list[int], own: list[int], chunk: int | None) -> None:
        """A prompt of sequence 0, of which golden takes in `own`."""
        result = self.session.prefill(tokens, chunk=chunk, outputs=BOTH)
        expected = self.golden.forward(own, self.caches[0])
        assert np.array_equal(result.logits, expected[-1:])

    def compare_caches(self) -> None:
        """The rows of the prefix too."""
        for sequence, cache in enumerate(self.caches):
            rows = cache_rows(self.device.memory, self.image.manifest, sequence)
            joined = np.moveaxis(rows, 3, 4).reshape(*rows.shape[:3], rows.shape[4], -1)
            for part, filled in enumerate((cache.keys, cache.values)):
                seen = joined[:, part, :, : cache.length, : filled.shape[-1]]
                assert np.array_equal(seen, filled[:, :, : cache.length])


@pytest.mark.parametrize(
    ("family", "prefix", "head_dim"),
    [("opt", (5,), 8), ("llama", (5, 0, 5), 32), ("opt", tuple(range(20)), 24)],
)
def test_sequences_behind_a_prefix_equal_golden(
    family: str, prefix: tuple[int, ...], head_dim: int
) -> None:
    """Two sequences in one step, decodes, rewinding, prompts in chunks with and without the prefix,
    another session; the longest prefix is more than one key block.
    """
    pair = Pair(family, prefix, head_dim)
    start = len(prefix)
    with pair.device:
        pair.step({0: drawn(9, 1), 1: drawn(4, 2)})
        pair.step({1: drawn(1, 3), 0: drawn(1, 4)})
        pair.compare_caches()
        pair.session.rewind(0, start + 3)
        pair.caches[0].length = start + 3
        pair.step({0: drawn(3, 5)})
        with pytest.raises(ValueError, match=f"behind the prefix of {start}, not {start - 1}"):
            pair.session.rewind(0, start - 1)
        pair.session.rewind(0)
        pair.caches[0].length = start
        text = drawn(21, 6)
        pair.prompt([*prefix, *text], text, chunk=4)
        pair.step({0: drawn(1, 7)})
        pair.begin()
        part = [*prefix[:-1], (prefix[-1] + 1) % 60, *text]
        pair.prompt(part, part, chunk=None)
        pair.step({0: drawn(2, 8), 1: drawn(2, 9)})
        pair.compare_caches()
