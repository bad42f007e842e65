# SPDX-License-Identifier: Apache-2.0
"""Every parameter is explained, in the words of its rules, with the figures that it changes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from meadow.spec.config import ACTIVATION_RAMS, CONFIGURATIONS, AcceleratorConfig
from meadow.spec.registers import register_map
from workbench.configurations.fields import FIELDS, default_of
from workbench.configurations.figures import derived
from workbench.configurations.settings import PARAMETERS, built

NUMBERS = [name for name, value in CONFIGURATIONS["small"].to_dict().items() if type(value) is int]


def test_every_parameter_is_explained() -> None:
    assert tuple(sorted(FIELDS)) == tuple(sorted(PARAMETERS))
    registers = {entry.name for entry in register_map(CONFIGURATIONS["tiny"])}
    assert all(f"config_{name}" in registers for name in FIELDS)
    for field in FIELDS.values():
        assert all((field.meaning, field.unit, field.rule, field.seen, field.buys, field.takes))


def test_defaults_are_those_of_the_class() -> None:
    given = {name: default_of(name) for name in FIELDS}
    needed = {
        name: CONFIGURATIONS["tiny"].to_dict()[name] for name in FIELDS if given[name] is None
    }
    made = AcceleratorConfig(**needed)  # pyright: ignore[reportArgumentType]
    for name, default in given.items():
        if default is not None and name != "norm_lanes":  # 0 stands for W/2
            assert made.to_dict()[name] == default


def _others(name: str, config: AcceleratorConfig) -> list[Any]:
    value = getattr(config, name)
    if isinstance(value, bool):
        return [not value]
    if name == "activation_ram":
        return [kind for kind in ACTIVATION_RAMS if kind != value]
    return [["raw"], ["raw", "dictionary"]] if isinstance(value, tuple) else [2 * value, value // 2]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_field_lists_the_figures_that_it_changes(name: str) -> None:
    changed = set()
    for config in CONFIGURATIONS.values():
        for value in _others(name, config):
            try:
                other = derived(built(config, {name: value}))
            except ValueError:
                continue
            before = derived(config)
            changed |= {figure for figure in before if before[figure] != other[figure]}
    assert changed == set(FIELDS[name].figures)


@pytest.mark.parametrize("name", NUMBERS)
def test_an_error_says_a_rule_that_the_field_says(name: str) -> None:
    """Far too much, and far too little, breaks a rule; the message has it, and so has the field."""
    config = CONFIGURATIONS["small"]
    broken = set()
    for value in (1, 3, 2**40):
        try:
            dataclasses.replace(config, **{name: value})
        except ValueError as error:
            broken.add(str(error))
    assert broken
    for message in broken:
        power = re.fullmatch(rf"{name} must be (a power of two), not \d+", message)
        rule = re.fullmatch(r"AcceleratorConfig rule (.+) is broken by .+", message)
        said = power or rule
        assert said is not None and said[1] in FIELDS[name].rule, message
