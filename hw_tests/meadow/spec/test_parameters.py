# SPDX-License-Identifier: Apache-2.0
"""Configurations as the numbers of registers, and back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meadow.spec.config import CONFIGURATIONS, named_config
from meadow.spec.parameters import config_of_registers, register_values

TINY = named_config("tiny")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_registers_hold_every_configuration(name: str) -> None:
    config = CONFIGURATIONS[name]
    values = register_values(config)
    assert list(values) == list(config.to_dict())
    assert all(type(value) is int and 0 <= value < 1 << 32 for value in values.values())
    assert config_of_registers(values) == config


def test_codecs_are_a_bit_each_and_a_truth_is_one() -> None:
    config = replace(TINY, codecs=("raw", "rice"), baseline=False)
    values = register_values(config)
    assert (values["codecs"], values["baseline"], values["width"]) == (0b101, 0, 16)
    assert register_values(TINY)["codecs"] == 0b111 and register_values(TINY)["baseline"] == 1


def test_the_ram_is_a_number_and_words_are_any() -> None:
    config = replace(TINY, activation_words=21 * 256, activation_ram="ultra")
    values = register_values(config)
    assert (values["activation_words"], values["activation_ram"]) == (5376, 1)
    assert register_values(TINY)["activation_ram"] == 0
    assert config_of_registers(values) == config


def test_numbers_that_no_configuration_has_are_refused() -> None:
    values = register_values(TINY)
    with pytest.raises(ValueError, match="codecs must be a list of raw, .* raw always"):
        config_of_registers(values | {"codecs": 0b110})
    with pytest.raises(ValueError, match="width must be a power of two, not 17"):
        config_of_registers(values | {"width": 17})
    with pytest.raises(ValueError, match="activation_ram must be below 2, not 2"):
        config_of_registers(values | {"activation_ram": 2})
    with pytest.raises(ValueError, match="activation_words is a multiple of 256 .* by 300"):
        config_of_registers(values | {"activation_words": 300})
