# SPDX-License-Identifier: Apache-2.0
"""The protocol checker finds each planted violation, and none where there is none."""

from __future__ import annotations

import pytest

from cosim.library import ProtocolError
from hw_tests.seeds import salted


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unstable", r"m_axi[01]_aw: payload or valid changed before ready"),
        ("page", r"m_axi0_ar: burst of 16 beats at 0x10000f80 crosses a 4 KiB boundary"),
        ("last", r"m_axi[01]_w: wlast before the end of a burst of 16 beats"),
        ("size", r"m_axi0_ar: burst of 16 beats at 0x10000000 must have a size of 16 bytes"),
    ],
)
def test_a_violation_is_reported_with_its_cycle(copier, fault: str, message: str) -> None:
    run = copier(stalls=128, seed=salted(2))
    run.start(512, fault=fault)
    with pytest.raises(ProtocolError, match=rf"(?s)violations of AXI.*cycle \d+: {message}"):
        run.simulation.run(20_000, until_interrupt=True)


@pytest.mark.parametrize("seed", range(4))
def test_a_correct_design_has_no_violation(copier, seed: int) -> None:
    copier(stalls=140, seed=salted(seed), rate=(20, 1)).copy(512)


def test_a_violation_is_reported_once(copier) -> None:
    run = copier()
    run.start(16, fault="size")
    with pytest.raises(ProtocolError):
        run.simulation.run(1000, until_interrupt=True)
    run.simulation.check_protocol()
