# SPDX-License-Identifier: Apache-2.0
"""Switching activity is counted bit by bit, stands below the instances of the design, and scales
with the clock.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from random import Random

import pytest

from cosim.waves import CYCLE_UNITS
from hw_tests.seeds import salted
from workbench.switching import bit_activity, switching_activity

# Ten cycles of ten units; `low` is an instance, `$1` a wire that the source has not named.
WAVES = f"""\
$timescale 1ns $end
$scope module top $end
$scope module meadow_top $end
$var wire 1 ! clk $end
$var wire 4 # count $end
$var wire 1 % $1 $end
$scope module low $end
$var wire 1 & busy $end
$upscope $end
$upscope $end
$upscope $end
$enddefinitions $end
#0
0!
b0000 #
0%
1&
#{2 * CYCLE_UNITS}
1!
b0101 #
#{6 * CYCLE_UNITS}
b0110 #
0&
#{10 * CYCLE_UNITS}
0!
"""


def _saif(tmp_path: Path, waves: str = WAVES, clock_hz: int = 100_000_000) -> str:
    file = tmp_path / "run.vcd"
    file.write_text(waves)
    return switching_activity(file, clock_hz, ("wrapper", "core"))


def test_bits_are_counted() -> None:
    assert bit_activity([0, 2, 6], [0, 5, 6], 4, 10) == [(4, 2), (4, 1), (8, 1), (0, 0)]
    random = Random(salted(31))
    width = random.choice((1, 7, 65, 512))
    times = sorted(random.sample(range(1000), 50))
    values = [random.getrandbits(width) for _ in times]
    high, toggles = [0] * width, [0] * width
    for place, (value, until) in enumerate(zip(values, [*times[1:], 1000], strict=True)):
        for bit in range(width):
            high[bit] += (value >> bit & 1) * (until - times[place])
            toggles[bit] += place and (value ^ values[place - 1]) >> bit & 1
    assert bit_activity(times, values, width, 1000) == list(zip(high, toggles, strict=True))


def test_the_file_is_nested_as_the_design(tmp_path: Path) -> None:
    text = _saif(tmp_path)
    assert text.count("(") == text.count(")")
    assert re.findall(r"\(INSTANCE (\w+)", text) == ["wrapper", "core", "low"]
    period = 10_000_000  # femtoseconds
    assert f"(DURATION {10 * period})" in text and "(TIMESCALE 1 fs)" in text
    assert rf"(count\[0\] (T0 {6 * period}) (T1 {4 * period}) (TX 0) (TC 2) (IG 0))" in text
    assert f"(busy (T0 {4 * period}) (T1 {6 * period}) (TX 0) (TC 1) (IG 0))" in text
    assert "$1" not in text


def test_time_is_that_of_the_clock(tmp_path: Path) -> None:
    assert "(DURATION 50000000)" in _saif(tmp_path, clock_hz=200_000_000)


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        ("no waves", "holds no waveforms: "),
        (WAVES.replace("meadow_top", "other_top"), "has no signal top.meadow_top.clk: write it"),
        (re.sub(r"#\d\d+\n", "", WAVES), "has no clock cycle"),
    ],
)
def test_what_is_no_simulation_of_the_core_is_refused(
    waves: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        _saif(tmp_path, waves)


def test_a_missing_file_and_reader_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        switching_activity(tmp_path / "none.fst", 1, ("core",))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"needs the extra power of MEADOW \(pip install pywellen"):
        switching_activity(tmp_path / "none.fst", 1, ("core",))
