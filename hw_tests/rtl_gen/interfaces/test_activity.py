# SPDX-License-Identifier: Apache-2.0
"""Names of activity bits and units: unique, few enough for one word, and in step with the
counters.
"""

from __future__ import annotations

import pytest

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import COUNTERS
from rtl_gen.export import verilog_ports
from rtl_gen.interfaces.activity import activity_items, activity_units
from rtl_gen.interfaces.command import INDEX_BITS, NO_COMMAND


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_items(name: str) -> None:
    config = CONFIGURATIONS[name]
    items = activity_items(config)
    assert len(set(items)) == len(items) <= 64
    counted = {
        counter for counter, _ in COUNTERS if counter.startswith("stall_") or "_busy" in counter
    }
    assert counted <= set(items)
    assert sum(item.startswith("port") for item in items) == 2 * config.ports


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_item_belongs_to_one_unit_and_every_unit_has_a_field(name: str) -> None:
    config = CONFIGURATIONS[name]
    units = activity_units(config)
    assert len({unit.name for unit in units}) == len(units)
    assert [item for unit in units for item in unit.items] == list(activity_items(config))
    assert {"sequencer", "fetch", "loader", "array", "drain", "writer", "vector", "storer"} <= {
        unit.name for unit in units
    }
    widths = {port["name"]: port["width"] for port in verilog_ports(config)}
    assert widths["activity"] == len(activity_items(config))
    assert widths["unit_command"] == INDEX_BITS * len(units)
    assert NO_COMMAND == 2**INDEX_BITS - 1
