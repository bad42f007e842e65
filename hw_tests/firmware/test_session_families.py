# SPDX-License-Identifier: Apache-2.0
"""Sessions with models of every family compute what the bit-true model computes, and refuse what
has no meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from firmware.golden_device import GoldenDevice
from firmware.image import ImageError, read_image
from firmware.session import Session
from hw_tests.models import family_description, random_model
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image, write_image
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import BEAT_BYTES, CONFIGURATIONS
from meadow.spec.families import FAMILIES

TINY = CONFIGURATIONS["tiny"]
TOKENS = np.random.default_rng(salted(8)).integers(0, 20, 48).tolist()


def model_of(name: str) -> QuantisedModel:
    return random_model(family_description(name, head_dim=32 if FAMILIES[name].rotary else 8))


MODELS = {name: model_of(name) for name in FAMILIES}
IMAGES = {
    name: compile_image(model, TINY, config_name="tiny", tokenizer_json=b"")
    for name, model in MODELS.items()
}


def session_of(name: str, sequences: int = 1) -> Session:
    device = GoldenDevice(TINY, Session.window_bytes(IMAGES[name], sequences))
    return Session(device, IMAGES[name], sequences=sequences)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [1, 7, 40])
def test_all_rows_of_a_sequence(name: str, count: int) -> None:
    """40 tokens with two query heads per KV head do not fit the groups of `tiny`: both variants
    run.
    """
    result = session_of(name).step({0: TOKENS[:count]}, outputs=Outputs.LOGITS, head_all=True)
    expected = BitTrueModel(MODELS[name], TINY).forward(TOKENS[:count])
    assert result.logits is not None and np.array_equal(result.logits, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_last_rows_of_two_sequences_in_one_step(name: str) -> None:
    session, golden = session_of(name, 2), BitTrueModel(MODELS[name], TINY)
    result = session.step({1: TOKENS[:9], 0: TOKENS[9:14]}, outputs=Outputs.LOGITS)
    parts = [golden.forward(part)[-1:] for part in (TOKENS[:9], TOKENS[9:14])]
    assert result.logits is not None and np.array_equal(result.logits, np.concatenate(parts))


@pytest.mark.parametrize("chunk", [1, 5, 33])
def test_rotary_positions_go_on_in_chunks(chunk: int) -> None:
    session, golden = session_of("llama", 2), BitTrueModel(MODELS["llama"], TINY)
    result = session.prefill(TOKENS[:36], sequence=1, chunk=chunk, outputs=Outputs.LOGITS)
    cache = golden.new_cache()
    expected = golden.forward(TOKENS[:36], cache)[-1:]
    assert result.logits is not None and np.array_equal(result.logits, expected)
    result = session.decode(TOKENS[36], sequence=1, outputs=Outputs.LOGITS)
    expected = golden.forward(TOKENS[36:37], cache)
    assert result.logits is not None and np.array_equal(result.logits, expected)


def test_a_sequence_that_is_not_causal_can_be_repeated_after_rewinding() -> None:
    session = session_of("vit")
    first = session.prefill(TOKENS[:20], outputs=Outputs.LOGITS)
    session.rewind()
    again = session.step({0: TOKENS[:20]}, outputs=Outputs.LOGITS | Outputs.ARGMAX)
    assert first.logits is not None and again.logits is not None and again.tokens is not None
    assert np.array_equal(first.logits, again.logits)
    assert again.tokens[0] == np.argmax(again.logits[0])


@pytest.mark.parametrize(
    ("name", "action", "message"),
    [
        (
            "vit",
            lambda s: s.decode(3),
            "not causal must be a whole sequence from position 0, not from 4",
        ),
        ("bert", lambda s: s.prefill([1], outputs=Outputs.LOGITS), "not from 4: rewind it first"),
        (
            "vit",
            lambda s: s.prefill([1] * 3, chunk=2),
            "must be one chunk: it holds 2 tokens, not 3",
        ),
        ("vit", lambda s: list(s.generate([1], 1)), "a model of architecture 'vit' generates no"),
        ("bert", lambda s: list(s.generate([1], 1)), "a model of architecture 'bert' generates no"),
        ("bert", lambda s: s.step({0: [1]}), "a model of architecture 'bert' has no head: ask for"),
        ("bert", lambda s: s.prefill([1]), "not for ARGMAX"),
    ],
)
def test_what_has_no_meaning_is_refused(
    name: str, action: Callable[[Session], object], message: str
) -> None:
    session = session_of(name)
    session.step({0: TOKENS[:4]}, outputs=Outputs.LOGITS)
    with pytest.raises(ValueError, match=message):
        action(session)
    assert session.positions == [4]


@pytest.mark.parametrize("name", FAMILIES)
def test_images_are_read_back(name: str, tmp_path: Path) -> None:
    write_image(IMAGES[name], tmp_path / "image")
    image = read_image(tmp_path / "image")
    assert image.manifest == IMAGES[name].manifest
    assert np.array_equal(image.rotary, IMAGES[name].rotary)
    assert bool(image.rotary.size) == FAMILIES[name].rotary
    assert image.embed(TOKENS, range(48)).shape == (48, 16)


@pytest.mark.parametrize(("name", "region"), [("llama", "rotary"), ("vit", "argmax")])
def test_regions_that_a_family_needs(name: str, region: str, tmp_path: Path) -> None:
    whole = IMAGES[name]
    regions = {key: value for key, value in whole.manifest.regions.items() if key != region}
    tensors = {key: getattr(whole, key) for key in whole.__dataclass_fields__ if key != "manifest"}
    write_image(Image(replace(whole.manifest, regions=regions), **tensors), tmp_path / "image")
    with pytest.raises(ImageError, match=f"the manifest must hold the region {region}"):
        read_image(tmp_path / "image")


@pytest.mark.parametrize("dataflow", ["gemm", ("tphs", "gemm")])
@pytest.mark.parametrize("name", FAMILIES)
def test_baseline_dataflow(name: str, dataflow: str | tuple[str, ...]) -> None:
    """The layer-by-layer baseline is compiled for one step: 21 tokens, of a causal model behind 12
    cached ones.
    """
    before = 12 if MODELS[name].description.causal else 0
    image = compile_image(
        MODELS[name],
        TINY,
        config_name="tiny",
        tokenizer_json=b"",
        dataflow=dataflow,
        step=(before, 21),
    )
    assert image.manifest.step == (before, 21)
    session = Session(GoldenDevice(TINY, Session.window_bytes(image)), image)
    with pytest.raises(
        ValueError, match=f"compiled for one sequence of 21 tokens from position {before} on"
    ):
        session.step({0: TOKENS[:20]}, outputs=Outputs.LOGITS)
    golden = BitTrueModel(MODELS[name], TINY, dataflow)
    cache = golden.new_cache()
    if before:
        # The program for any step fills the caches.
        BitTrueModel(MODELS[name], TINY).forward(TOKENS[:before], cache)
        first = session_of(name)
        first.prefill(TOKENS[:before])
        source, target = (cache_bytes(each) for each in (first, session))
        target[:] = source
        session.positions[0] = before
    result = session.step({0: TOKENS[before : before + 21]}, outputs=Outputs.LOGITS, head_all=True)
    expected = golden.forward(TOKENS[before : before + 21], cache)
    assert result.logits is not None and np.array_equal(result.logits, expected)


def cache_bytes(session: Session) -> np.ndarray:
    """The KV cache of sequence 0 in the window."""
    start = session.manifest.kv_base(0) * BEAT_BYTES
    return session.device.memory[start : start + session.manifest.cache.sequence_beats * BEAT_BYTES]
