# SPDX-License-Identifier: Apache-2.0
"""Whole models on the co-simulated chip: logits equal to the bit-true tier, whatever chunks, stalls
or batches.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import Tokenizer

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.session import Session
from hw_tests.marks import slow
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES, named_config
from meadow.spec.model import ModelDescription
from workbench.configurations.chosen import choose_config
from workbench.models.cached import DEMO_MODEL, CompileOptions, load_model

pytestmark = pytest.mark.sim

BOTH = Outputs.ARGMAX | Outputs.LOGITS


def describe(**sizes: int) -> ModelDescription:
    values = {
        "layers": 1,
        "width": 48,
        "heads": 3,
        "head_dim": 16,
        "hidden": 80,
        "vocabulary": 70,
        "max_positions": 128,
    } | sizes
    return opt_description(
        **values,
    )


def compiled(model: QuantisedModel, config: str, codec: str = "auto") -> Image:
    return compile_image(
        model, named_config(config), config_name=config, codec=codec, tokenizer_json="{}"
    )


def opened(image: Image, sequences: int = 1, **settings: object) -> tuple[CosimDevice, Session]:
    device = CosimDevice(
        image.manifest.config,
        Session.window_bytes(image, sequences),
        settings=DramSettings(**{"seed": salted(0), **settings}),
        timeout_cycles=20_000_000,
    )
    return device, Session(device, image, sequences=sequences)


@pytest.fixture(scope="module")
def story() -> tuple[Image, list[int], np.ndarray]:
    """The demo model, 48 tokens of a story, and what the bit-true tier makes of them."""
    loaded = load_model(None, CompileOptions(chosen=choose_config("tiny")), print)
    assert loaded.quantised is not None
    text = (DEMO_MODEL / "heldout.txt").read_text(encoding="utf-8").splitlines()[0]
    tokens = Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json")).encode(text).ids[:48]
    assert len(tokens) == 48
    expected = BitTrueModel(loaded.quantised, loaded.image.manifest.config).forward(tokens)
    return loaded.image, tokens, expected


@pytest.mark.parametrize(("chunk", "stalls"), [slow(1, 0), slow(3, 40), slow(4, 90), (48, 40)])
def test_chunks_of_a_prompt_give_the_same_logits(
    story: tuple[Image, list[int], np.ndarray], chunk: int, stalls: int
) -> None:
    """Every logit of every position."""
    image, tokens, expected = story
    device, session = opened(image, stalls=stalls, seed=salted(chunk))
    with device:
        logits = [
            session.step({0: tokens[start : start + chunk]}, outputs=BOTH, head_all=True).logits
            for start in range(0, 48, chunk)
        ]
    assert np.array_equal(np.concatenate(logits), expected)


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize(
    ("sizes", "hidden_block", "codec"),
    [
        ({}, 32, "raw"),
        ({"width": 40, "heads": 2, "head_dim": 20, "hidden": 33, "vocabulary": 131}, None, "auto"),
        ({"width": 64, "heads": 1, "head_dim": 64, "layers": 2}, 64, "dictionary"),
        ({"width": 96, "heads": 2, "head_dim": 48}, None, "dictionary"),
    ],
)
def test_shapes_batches_and_stalls(
    config: str, sizes: dict[str, int], hidden_block: int | None, codec: str
) -> None:
    """Prefill, a batch of two sequences of different length, and decode, under random stalls."""
    seed = 100 + sum(sizes.values())
    print(f"seed {seed}")
    model = synthetic_model(describe(**sizes), hidden_block=hidden_block, seed=salted(seed))
    image = compiled(model, config, codec)
    golden = BitTrueModel(model, named_config(config))
    chance = random.Random(salted(seed))
    vocabulary = model.description.vocabulary
    texts = [[chance.randrange(vocabulary) for _ in range(60)] for _ in range(2)]
    expected = [golden.forward(text) for text in texts]
    device, session = opened(image, 2, stalls=70, seed=salted(seed), latency_cycles=20)
    with device:
        for new in ((37, 0), (2, 29), (1, 1), (5, 3), (0, 1)):
            tokens, rows = {}, []
            for sequence, count in enumerate(new):
                if count:
                    start = session.positions[sequence]
                    tokens[sequence] = texts[sequence][start : start + count]
                    rows.append(expected[sequence][start : start + count])
            result = session.step(tokens, outputs=BOTH, head_all=True)
            assert np.array_equal(result.logits, np.concatenate(rows)), f"new tokens {new}"
            assert np.array_equal(result.tokens, np.concatenate(rows).argmax(axis=1))


@pytest.mark.parametrize("config", ["tiny", "small"])
@pytest.mark.parametrize("outputs", [Outputs.ARGMAX, Outputs.LOGITS])
def test_only_embeddings_and_results_leave_the_chip(config: str, outputs: Outputs) -> None:
    """Bytes by class against closed forms, and their sum against what the DRAM model saw."""
    model = synthetic_model(describe(layers=2), seed=salted(9))
    image = compiled(model, config)
    width = named_config(config).width
    tokens, position = 21, 30

    def padded(count: int) -> int:
        return -(-count // width) * width

    device, session = opened(image, seed=salted(3))
    with device:
        session.step({0: [1] * position}, outputs=Outputs(0))
        before = device.simulation.counters
        counters = session.step({0: [5] * tokens}, outputs=outputs).counters
        after = device.simulation.counters
    classes = {name: count for name, count in counters.items() if name.startswith("bytes_")}
    moved = sum(
        new.bytes_read + new.bytes_written - old.bytes_read - old.bytes_written
        for new, old in zip(after, before, strict=True)
    )
    assert sum(classes.values()) == moved
    results = BEAT_BYTES if outputs == Outputs.ARGMAX else 2 * padded(70)
    assert classes["bytes_activations"] == tokens * 2 * padded(48) + results
    cached = 2 * 2 * 3 * 16  # layers, K and V, heads, bytes of a head
    assert classes["bytes_kv_write"] == tokens * cached
    assert classes["bytes_kv_read"] == (position + tokens) * cached
    assert classes["bytes_commands"] == 64 * image.manifest.commands
