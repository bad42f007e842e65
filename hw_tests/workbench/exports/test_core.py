# SPDX-License-Identifier: Apache-2.0
"""What exported files are made from is what the contract and the hardware say."""

from __future__ import annotations

import pytest

from hw_tests.workbench.exports.cores import TOP, named_core
from meadow.spec.config import CONFIGURATIONS
from meadow.spec.contract import contract_hash
from meadow.spec.registers import register_map


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_core_is_described_by_its_configuration(configuration: str) -> None:
    core, config = named_core(configuration), CONFIGURATIONS[configuration]
    assert (core.top, core.contract) == (TOP, contract_hash(config))
    assert core.registers == register_map(config)
    assert core.interfaces("s_axi") == ["s_axi"]
    assert core.interfaces("m_axi") == [f"m_axi{index}" for index in range(config.ports)]


def test_the_heading_has_licence_and_contract() -> None:
    core = named_core("tiny")
    assert core.heading("Toys", "#") == (
        "# SPDX-License-Identifier: Apache-2.0\n"
        f"# Toys of {TOP}, MEADOW {core.version}, configuration tiny, contract {core.contract}\n"
    )
