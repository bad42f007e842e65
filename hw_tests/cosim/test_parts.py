# SPDX-License-Identifier: Apache-2.0
"""Chips without some of the decoders, or without the baseline's softmax unit: they compute what
golden does, and end a program for a part that is not there with the same error as golden, at the
same command.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from cosim.device import CosimDevice
from cosim.library import DramSettings
from firmware.device import Device, DeviceError
from firmware.golden_device import GoldenDevice
from firmware.session import Session
from hw_tests.opt_models import opt_description
from hw_tests.seeds import salted
from meadow.compiler.image import compile_image
from meadow.compiler.packing.packing import codec_choices
from meadow.compiler.synthetic import synthetic_model
from meadow.golden.tiers.bit_true import BitTrueModel
from meadow.model.image import Image
from meadow.model.quantised import QuantisedModel
from meadow.spec.commands import Opcode, Outputs
from meadow.spec.config import AcceleratorConfig, named_config
from meadow.spec.contract import contract_hash
from meadow.spec.registers import ErrorCode
from rtl_gen.export import generate_verilog

TINY = named_config("tiny")
SUBSETS = [("raw",), ("raw", "dictionary"), ("raw", "rice"), ("raw", "dictionary", "rice")]
CONFIGS = {
    f"{'+'.join(codecs)}{'+baseline' * baseline}": replace(TINY, codecs=codecs, baseline=baseline)
    for codecs, baseline in product(SUBSETS, (False, True))
}
TOKENS = [5, 1, 9, 2, 30, 4, 4]
BOTH = Outputs.LOGITS | Outputs.ARGMAX


@pytest.fixture(scope="module")
def model() -> QuantisedModel:
    description = opt_description(
        layers=1, width=48, heads=3, head_dim=16, hidden=80, vocabulary=70, max_positions=64
    )
    return synthetic_model(description, seed=salted(4))


def compiled(model: QuantisedModel, config: AcceleratorConfig, codec: str, dataflow: str) -> Image:
    return compile_image(
        model,
        config,
        config_name="tiny",
        codec=codec,
        tokenizer_json="{}",
        dataflow=dataflow,
        step=(0, len(TOKENS)),
    )


def as_if_for(image: Image, config: AcceleratorConfig) -> Image:
    """The image with the name of another configuration on it, as compiler and driver refuse it."""
    manifest = replace(image.manifest, config=config, contract_hash=contract_hash(config))
    return replace(image, manifest=manifest)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_verilog_of_every_combination_is_the_same_twice_and_has_only_its_parts(name: str) -> None:
    config = CONFIGS[name]
    text = generate_verilog(config)
    assert text == generate_verilog(config)
    for codec in ("dictionary", "rice"):
        assert (f".decoder0.{codec}" in text) == (codec in config.codecs)
    assert (".decoder0.blocks" in text) == (len(config.codecs) > 1)
    assert (".vector.softmax" in text) == config.baseline


@pytest.fixture(
    scope="module",
    params=["raw", "raw+rice", "raw+dictionary", "raw+dictionary+rice", "raw+baseline"],
)
def chip(request: pytest.FixtureRequest) -> Iterator[CosimDevice]:
    settings = DramSettings(stalls=60, latency_cycles=15, seed=salted(2))
    config = CONFIGS[request.param]
    with CosimDevice(config, 1 << 22, settings=settings, timeout_cycles=2_000_000) as device:
        yield device


def error_of(device: Device, image: Image) -> DeviceError:
    with pytest.raises(DeviceError) as error:
        Session(device, image).step({0: TOKENS}, outputs=BOTH)
    return error.value


@pytest.mark.sim
@pytest.mark.slow
def test_a_chip_runs_what_it_has_and_refuses_the_rest(
    chip: CosimDevice, model: QuantisedModel
) -> None:
    """After each refused program the next good one is right, without a reset."""
    config = chip.config
    seen = []
    for codec, dataflow in product(("raw", "dictionary", "rice", "auto"), ("tphs", "gemm")):
        has = codec in codec_choices(config) and (config.baseline or dataflow == "tphs")
        image = compiled(model, config if has else TINY, codec, dataflow)
        if has:
            golden = BitTrueModel(model, config, dataflow=dataflow)
            result = Session(chip, image).step({0: TOKENS}, outputs=BOTH, head_all=True)
            assert np.array_equal(result.logits, golden.forward(TOKENS))
            continue
        if codec == "auto":
            continue
        image = as_if_for(image, config)
        errors = [
            error_of(device, image)
            for device in (chip, GoldenDevice(config, Session.window_bytes(image)))
        ]
        codes = [(error.code, error.command, error.label) for error in errors]
        assert codes[0] == codes[1]
        first = image.command(errors[0].command).opcode
        absent = ErrorCode.STREAM if codec not in config.codecs else ErrorCode.ILLEGAL_COMMAND
        assert codes[0][0] == absent
        assert first == Opcode.MATMUL if absent == ErrorCode.STREAM else first == Opcode.ATTEND
        seen.append((codec, dataflow))
    parts = 3 - len(config.codecs) + (not config.baseline)
    assert bool(seen) == (parts > 0)
