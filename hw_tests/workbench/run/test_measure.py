# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of what is reported."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from firmware.results import Phase
from meadow.spec.image import Manifest
from workbench.configurations.chosen import choose_config
from workbench.devices import Throttle
from workbench.models.cached import CompileOptions, compile_directory
from workbench.run.measure import phase_report, useful_macs


@pytest.fixture(scope="module")
def manifest(checkpoint: Path) -> Manifest:
    options = CompileOptions(chosen=choose_config("tiny"))
    return compile_directory(checkpoint, options, lambda text: None).image.manifest


def test_useful_macs_are_counted_by_hand(manifest: Manifest) -> None:
    width, hidden, layers, vocabulary = 32, 64, 2, manifest.model.vocabulary
    matrices = layers * (4 * width * width + 2 * width * hidden)
    # Tokens at positions 5, 6, 7 see 6, 7 and 8 keys, for q.k and for p.v, in all heads.
    attention = 2 * layers * width * (6 + 7 + 8)
    expected = 3 * matrices + attention + 2 * vocabulary * width
    assert useful_macs(manifest, first=5, tokens=3, head_rows=2) == expected


def test_utilisations(manifest: Manifest) -> None:
    phase = Phase()
    phase.add(1, {"cycles": 1000, "bytes_weights": 1500, "bytes_commands": 500})
    report = phase_report(manifest, phase, first=0, head_rows=1, rate=Fraction(4), clock_mhz=250.0)
    macs = useful_macs(manifest, first=0, tokens=1, head_rows=1)
    assert report["cycles_per_token"] == 1000
    assert report["array_utilisation"] == macs / 1000 / 64
    assert report["bandwidth_utilisation"] == 0.5
    assert report["dram_bytes"]["weights"] == 1500
    unlimited = phase_report(manifest, phase, first=0, head_rows=1, rate=None, clock_mhz=250.0)
    assert unlimited["bandwidth_utilisation"] == 2000 / 1000 / 16


@pytest.mark.parametrize(
    ("gbps", "mhz", "rate"),
    [(12.0, 250.0, Fraction(6)), (1.0, 250.0, Fraction(1, 2)), (0.3, 100.0, Fraction(3, 8))],
)
def test_a_rate_is_exact(gbps: float, mhz: float, rate: Fraction) -> None:
    throttle = Throttle(bandwidth_gbps=gbps, clock_mhz=mhz)
    assert throttle.bytes_per_cycle == rate
    assert throttle.settings().rate == (rate.numerator, rate.denominator)
