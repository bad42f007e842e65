# SPDX-License-Identifier: Apache-2.0
"""Legal configurations at the edges of what `AcceleratorConfig` allows, beside `tiny`."""

from __future__ import annotations

from dataclasses import replace

from hw_tests.unit_config import unit_config
from meadow.spec.config import CONFIGURATIONS, AcceleratorConfig

__all__ = ["EDGE_CONFIGURATIONS"]

_SLIGHT = {"probability_bits": 4, "prefetch_beats": 32, "outstanding": 1, "address_bits": 32}
_LEAST = unit_config(lanes=1, groups=1, sequences=1, **_SLIGHT)

EDGE_CONFIGURATIONS: dict[str, AcceleratorConfig] = {
    "tiny": CONFIGURATIONS["tiny"],
    "least": _LEAST,
    "one lane of eight rows": replace(_LEAST, rows=8, groups=2, outstanding=3),
    "as many rows as a port has": replace(
        unit_config(32, lanes=1, rows=8, groups=1, ports=4, sequences=1, **_SLIGHT),
        max_head_dim=32,
        decoder_elements=32,
    ),
    "one group of four lanes": replace(
        _LEAST, lanes=4, sequences=3, probability_bits=12, max_head_dim=512, address_bits=48
    ),
}
"""By a name that says what is special."""
