# SPDX-License-Identifier: Apache-2.0
"""Sessions of models with a prefix: every sequence begins behind it, whatever is asked of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.models import family_description, random_model, random_prefix
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.lowering.layout import CompileError
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image, cache_rows
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Outputs
from meadow.spec.config import CONFIGURATIONS

TINY = CONFIGURATIONS["tiny"]
PREFIX = (7, 3)
TOKENS = np.random.default_rng(salted(8)).integers(8, 20, 40).tolist()
BOTH = Outputs.ARGMAX | Outputs.LOGITS


def model_of(family: str, head_dim: int) -> QuantisedModel:
    model = random_model(family_description(family, head_dim=head_dim, width=2 * head_dim))
    return replace(model, prefix=random_prefix(model.description, PREFIX, seed=4))


MODELS = {
    f"{family}-{head_dim}": model_of(family, head_dim)
    for family, head_dim in (("opt", 8), ("opt", 24), ("llama", 8), ("llama", 32))
}
"""Heads that share a word, that are padded, and that take several words."""

IMAGES = {
    name: compile_image(model, TINY, config_name="tiny", tokenizer_json=b"")
    for name, model in MODELS.items()
}
NAMES = pytest.mark.parametrize("name", MODELS)


def session_of(image: Image, sequences: int = 1) -> Session:
    device = GoldenDevice(TINY, Session.window_bytes(image, sequences))
    device.memory[:] = 0xA5  # what an earlier session left
    return Session(device, image, sequences=sequences)


def expected(name: str, tokens: list[int]) -> np.ndarray:
    return BitTrueModel(MODELS[name], TINY).forward(tokens)


@NAMES
@pytest.mark.parametrize("chunk", [None, 1, 5])
def test_a_prompt_stands_behind_the_prefix(name: str, chunk: int | None) -> None:
    session = session_of(IMAGES[name])
    assert session.positions == [2]
    result = session.prefill(TOKENS[:21], chunk=chunk, outputs=BOTH)
    assert result.logits is not None
    assert np.array_equal(result.logits, expected(name, TOKENS[:21])[-1:])
    assert session.positions == [23]


@NAMES
@pytest.mark.parametrize(
    ("prompt", "own"),
    [
        ([7, 3, 11, 12], [11, 12]),
        ([7, 11, 12], [7, 11, 12]),
        ([3, 7, 11], [3, 7, 11]),
        ([7, 3, 7, 3, 11], [7, 3, 11]),
        ([7], [7]),
    ],
)
def test_a_prompt_that_begins_with_the_prefix_loses_it_once(
    name: str, prompt: list[int], own: list[int]
) -> None:
    session = session_of(IMAGES[name])
    result = session.prefill(prompt, outputs=BOTH)
    assert result.logits is not None and np.array_equal(result.logits, expected(name, own)[-1:])
    assert session.positions == [2 + len(own)] and session.phases["prefill"].tokens == len(own)
    # A sequence that has begun takes in all that comes.
    result = session.prefill([7, 3], outputs=BOTH)
    behind = expected(name, [*own, 7, 3])[-1:]
    assert result.logits is not None and np.array_equal(result.logits, behind)


@NAMES
def test_every_sequence_has_its_own(name: str) -> None:
    session = session_of(IMAGES[name], 3)
    result = session.step({2: TOKENS[:9], 0: TOKENS[9:14]}, outputs=Outputs.LOGITS)
    rows = [expected(name, part)[-1:] for part in (TOKENS[:9], TOKENS[9:14])]
    assert result.logits is not None and np.array_equal(result.logits, np.concatenate(rows))
    assert session.positions == [7, 2, 11]
    result = session.step({1: TOKENS[:3]}, outputs=Outputs.LOGITS)
    assert result.logits is not None
    assert np.array_equal(result.logits, expected(name, TOKENS[:3])[-1:])


@NAMES
def test_generation_begins_anew_after_rewinding(name: str) -> None:
    session = session_of(IMAGES[name])
    first = list(session.generate([*PREFIX, *TOKENS[:4]], 5))
    session.rewind()
    assert session.positions == [2]
    assert list(session.generate(TOKENS[:4], 5)) == first
    session.rewind(position=4)
    result = session.prefill(TOKENS[10:13], outputs=BOTH)
    behind = expected(name, [*TOKENS[:2], *TOKENS[10:13]])[-1:]
    assert result.logits is not None and np.array_equal(result.logits, behind)
    with pytest.raises(ValueError, match=r"position must be 2\.\.7 behind the prefix of 2, not 1"):
        session.rewind(position=1)


@NAMES
def test_the_cache_holds_the_prefix_and_the_rest_stays(name: str) -> None:
    image, prefix = IMAGES[name], MODELS[name].prefix
    assert prefix is not None
    session = session_of(image, 2)
    for sequence in range(2):
        rows = cache_rows(session.device.memory, image.manifest, sequence)
        joined = np.moveaxis(rows, 3, 4).reshape(*rows.shape[:3], rows.shape[4], -1)
        padding = joined[..., :2, prefix.keys.shape[-1] :]
        assert not padding.any()
        for part, filled in enumerate((prefix.keys, prefix.values)):
            assert np.array_equal(joined[:, part, :, :2, : filled.shape[-1]], filled)
        assert (joined[..., 2:, :].view(np.uint8) == 0xA5).all()
        rows[..., :2, :] = 1
        session.rewind(sequence)
        assert np.array_equal(rows[..., :2, :], image.prefix)


def test_a_prompt_that_is_only_the_prefix_is_refused() -> None:
    session = session_of(IMAGES["opt-8"])
    for action in (lambda: session.prefill(PREFIX), lambda: session.generate(list(PREFIX), 3)):
        with pytest.raises(ValueError, match=r"at least 1 token beside the prefix \[7, 3\]"):
            action()
    assert session.positions == [2]


def test_the_prefix_takes_room() -> None:
    session = session_of(IMAGES["opt-8"])
    with pytest.raises(ValueError, match="the prompt has 47 tokens, .* holds 46 more of 48"):
        session.prefill([1] * 47)
    with pytest.raises(ValueError, match="49 tokens are too many"):
        session.step({0: [1] * 47})
    session.prefill([*PREFIX, *[1] * 46])
    assert session.positions == [48]


@pytest.mark.parametrize("dataflow", ["gemm", ("tphs", "gemm")])
@NAMES
def test_a_program_for_one_step_starts_behind_the_prefix(
    name: str, dataflow: str | tuple[str, ...]
) -> None:
    def compiled(position: int) -> Image:
        return compile_image(
            MODELS[name],
            TINY,
            config_name="tiny",
            tokenizer_json=b"",
            dataflow=dataflow,
            step=(position, 21),
        )

    with pytest.raises(CompileError, match="at position 2 or later, not at 1"):
        compiled(1)
    session = session_of(compiled(2))
    result = session.prefill([*PREFIX, *TOKENS[:21]], outputs=Outputs.LOGITS)
    golden = BitTrueModel(MODELS[name], TINY, dataflow)
    assert result.logits is not None
    assert np.array_equal(result.logits, golden.forward(TOKENS[:21])[-1:])


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(CompileError, match="hold the prefix of the model and .* 3 in all, not 2"):
        compile_image(MODELS["opt-8"], TINY, config_name="tiny", tokenizer_json=b"", context=2)
