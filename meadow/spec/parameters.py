# SPDX-License-Identifier: Apache-2.0
"""The parameters of a configuration as the device's registers `config_*` hold them."""

from __future__ import annotations

from collections.abc import Mapping

from meadow.spec.config import ACTIVATION_RAMS, AcceleratorConfig, Parameter
from meadow.spec.streams import CODEC_NAMES

__all__ = ["config_of_registers", "register_values"]


def register_values(config: AcceleratorConfig) -> dict[str, int]:
    """The parameters by name as numbers: of `codecs` bit c for codec c, of `baseline` 0 or 1, of
    `activation_ram` its place in ACTIVATION_RAMS.
    """
    return {name: _number(value) for name, value in config.to_dict().items()}


def _number(value: Parameter) -> int:
    if isinstance(value, list):
        return sum(1 << CODEC_NAMES.index(each) for each in value)
    return ACTIVATION_RAMS.index(value) if isinstance(value, str) else int(value)


def config_of_registers(values: Mapping[str, int]) -> AcceleratorConfig:
    """Inverse of `register_values`; ValueError for numbers that no configuration has."""
    mask, ram = values["codecs"], values["activation_ram"]
    if ram >= len(ACTIVATION_RAMS):
        raise ValueError(f"activation_ram must be below {len(ACTIVATION_RAMS)}, not {ram}")
    parameters: dict[str, Parameter] = {
        **values,
        "codecs": [name for codec, name in enumerate(CODEC_NAMES) if mask >> codec & 1],
        "baseline": bool(values["baseline"]),
        "activation_ram": ACTIVATION_RAMS[ram],
    }
    return AcceleratorConfig.from_dict(parameters)
