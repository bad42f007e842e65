# SPDX-License-Identifier: Apache-2.0
"""Settings of the DRAM model that make no sense are refused where they are given."""

from __future__ import annotations

import pytest

from cosim.dram_settings import DramSettings


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": (1, 0)}, "rate"),
        ({"latency_cycles": -1}, r"latency_cycles must be 0..2\*\*40 - 1, not -1"),
        ({"latency_cycles": 1.5}, "latency_cycles must be an integer, not 1.5"),
        ({"seed": -1}, r"seed must be 0..2\*\*64 - 1, not -1"),
        ({"seed": None}, "seed must be an integer, not None"),
        ({"error_address": 1 << 64}, r"error_address must be 0..2\*\*64 - 1, not 18446744"),
        ({"stalls": (1, 2)}, r"stalls must be 5 integers, not \(1, 2\)"),
        ({"rate": (1.5, 1)}, r"rate must be 2 integers, not \(1.5, 1\)"),
        ({"stalls": 257}, "stalls must be 0..256 of 256, not 257"),
        ({"stalls": "1"}, "stalls must be 5 integers, not '1'"),
        ({"rate": 4}, "rate must be 2 integers, not 4"),
        ({"banks": True}, "banks must be an integer, not True"),
        ({"error_address": "0"}, "error_address must be an integer, not '0'"),
        ({"error_reads": "x"}, "error_reads must be True or False, not 'x'"),
        ({"error_writes": None}, "error_writes must be True or False, not None"),
    ],
)
def test_settings_out_of_range_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DramSettings(**fields)
