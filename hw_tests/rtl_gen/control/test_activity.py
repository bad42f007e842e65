# SPDX-License-Identifier: Apache-2.0
"""Names of activity bits: unique, few enough for one word, and in step with the counters."""

from __future__ import annotations

import pytest

from meadow.spec.config import CONFIGURATIONS
from meadow.spec.registers import COUNTERS
from rtl_gen.control.activity import activity_items


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
