# SPDX-License-Identifier: Apache-2.0
"""A small random model, its image for `tiny`, and a session on the golden device."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.synthetic import synthetic_model
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.config import CONFIGURATIONS


@pytest.fixture(scope="session")
def quantised() -> QuantisedModel:
    description = opt_description(hidden=96, vocabulary=100, eos_token=99)
    return synthetic_model(description, hidden_block=64, seed=salted(0))


@pytest.fixture(scope="session")
def image(quantised: QuantisedModel) -> Image:
    return compile_image(quantised, CONFIGURATIONS["tiny"], config_name="tiny", tokenizer_json=b"")


@pytest.fixture
def make_session(image: Image) -> Callable[..., Session]:
    def make(sequences: int = 1) -> Session:
        device = GoldenDevice(image.manifest.config, Session.window_bytes(image, sequences))
        return Session(device, image, sequences=sequences)

    return make
