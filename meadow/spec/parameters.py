# SPDX-License-Identifier: Apache-2.0
"""The parameters of a configuration as the device's registers `config_*` hold them."""

from __future__ import annotations

from collections.abc import Mapping

from meadow.spec.config import AcceleratorConfig, Parameter
from meadow.spec.streams import CODEC_NAMES

__all__ = ["config_of_registers", "register_values"]


def register_values(config: AcceleratorConfig) -> dict[str, int]:
    """The parameters by name as numbers: of `codecs` bit c for codec c, of `baseline` 0 or 1."""
    return {
        name: sum(1 << CODEC_NAMES.index(each) for each in value)
        if isinstance(value, list)
        else int(value)
        for name, value in config.to_dict().items()
    }


def config_of_registers(values: Mapping[str, int]) -> AcceleratorConfig:
    """Inverse of `register_values`; ValueError for numbers that no configuration has."""
    mask = values["codecs"]
    codecs = [name for codec, name in enumerate(CODEC_NAMES) if mask >> codec & 1]
    parameters: dict[str, Parameter] = {**values, "codecs": codecs}
    return AcceleratorConfig.from_dict(parameters | {"baseline": bool(values["baseline"])})
